"""Averages of particles in simulated tilt images against the density that these were made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import strict_cupy
from helpers.average_world import HARD, AverageWorld, density, filled
from helpers.extract_world import Listener
from helpers.tilt_world import POINTS

from napari_subtomo.errors import GeometryError, InputError, JobCancelled
from napari_subtomo.geometry.projection import tilt_matrices
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header, read_mrc
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.numerics.masks import radius_grid
from napari_subtomo.reconstruct import from_tilts, gridded
from napari_subtomo.reconstruct.gridded import taper
from napari_subtomo.tilts.images import TiltImages

SMALL = {"source": "tilts", "box_size": 36, "crop_size": 24}


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> AverageWorld:
    """Sixteen particles in one difficult tilt series; not changed by tests."""
    return filled(tmp_path_factory.mktemp("hard"))


def against(volume: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Correlation in the sphere, and the scale of the map in units of the truth."""
    inside = radius_grid(volume.shape) < len(volume) / 2
    return float(np.corrcoef(volume[inside], truth[inside])[0, 1]), float((volume * truth).sum() / (truth**2).sum())


def expected(n: int, box: int, binning: float, points: np.ndarray = POINTS) -> np.ndarray:
    """The map in RELION's grey scale: densities times pixel, binning and the root of the box."""
    return taper(density(n, 5 * binning, points) * 5 * binning * np.sqrt(box))


@pytest.mark.parametrize(("box", "crop", "binning"), [(64, 40, 1.0), (48, 32, 1.5), (40, 28, 1.37)])
def test_the_map_is_the_density_in_its_place_hand_and_scale(hard: AverageWorld, box: int, crop: int, binning: float) -> None:
    result = hard.average(f"Reconstruct/{box}", source="tilts", box_size=box, crop_size=crop, binning=binning)
    volume, truth = read_mrc(result.outputs["merged"]), expected(crop, box, binning)
    correlation, scale = against(volume, truth)
    assert correlation > 0.995
    assert abs(scale - 1) < 0.05
    for mirrored in (volume[:, :, ::-1], volume[:, ::-1], volume[::-1]):
        assert against(mirrored, truth)[0] < 0.9
    header = mrc_header(result.outputs["merged"])
    assert header.shape == (crop,) * 3 and header.voxel_size == pytest.approx(5 * binning, abs=1e-4)
    assert result.numbers["source"] == "tilts" and result.numbers["particles"] == 16
    assert set(result.outputs) == {"merged", "half1", "half2", "fsc", "fsc_plot"}


def test_symmetry_averages_over_the_mates_and_leaves_the_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = np.array([[45, 10, 20, 1.2], [20, -30, 45, 1.0], [10, 50, -25, 0.8]])
    points = np.concatenate([np.column_stack([part[:, :3] @ m.T, part[:, 3]]) for m in symmetry_matrices("C3")])
    world = filled(tmp_path, points=points)
    truth = expected(32, 48, 1.0, points)
    with_symmetry, without, wrong = (
        against(
            read_mrc(world.average(f"Reconstruct/{name}", source="tilts", box_size=48, crop_size=32, symmetry=name).outputs["half1"]), truth
        )
        for name in ("C3", "C1", "C2")
    )
    assert with_symmetry[0] > 0.995 and abs(with_symmetry[1] - 1) < 0.05
    assert with_symmetry[0] > without[0] + 0.01 and with_symmetry[0] > wrong[0] + 0.3
    envelope = gridded._envelope
    monkeypatch.setattr(gridded, "_envelope", lambda n, symmetry: envelope(n, symmetry[:1]))
    files = world.average("Reconstruct/relion", source="tilts", box_size=48, crop_size=32, symmetry="C3").outputs
    assert against(read_mrc(files["half1"]), truth)[1] < with_symmetry[1] - 0.05  # mates are read from between the nodes


def test_a_wiener_constant_weakens_the_map(hard: AverageWorld) -> None:
    powers = [float((read_mrc(hard.average(f"Reconstruct/snr{s}", **SMALL, snr=s).outputs["merged"]) ** 2).sum()) for s in (None, 1, 0.1)]
    assert powers[0] > powers[1] > powers[2]


def test_threads_do_not_change_a_bit(hard: AverageWorld) -> None:
    one, three = (read_mrc(hard.average(f"Reconstruct/t{n}", **SMALL, threads=n).outputs["half2"]) for n in (1, 3))
    assert np.array_equal(one, three)


@pytest.mark.parametrize("symmetry", ["C1", "C3"])
def test_a_gpu_computes_what_the_processor_computes(hard: AverageWorld, symmetry: str) -> None:
    here = hard.average("Reconstruct/here", **SMALL, symmetry=symmetry)
    with strict_cupy.installed():
        there = hard.average("Reconstruct/there", **SMALL, symmetry=symmetry, device="cuda:1", threads=2)
    for name in ("merged", "half1", "half2"):
        a, b = (read_mrc(result.outputs[name]) for result in (here, there))
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(a).max())


def test_each_image_is_read_once_and_only_mapped_where_memory_is_short(hard: AverageWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []
    read, mapped = TiltImages._read, TiltImages._map
    monkeypatch.setattr(TiltImages, "_read", lambda self, tilt: (reads.append(tilt), read(self, tilt))[1])
    kept = hard.average("Reconstruct/kept", **SMALL, threads=2)
    assert sorted(reads) == list(range(11))
    maps: list[int] = []
    monkeypatch.setattr(TiltImages, "_map", lambda self, tilt, folder: (maps.append(tilt), mapped(self, tilt, folder))[1])
    monkeypatch.setattr(from_tilts, "_SHARE", 0.0)
    again = hard.average("Reconstruct/mapped", **SMALL)
    assert maps == list(range(11)) and len(reads) == 11
    assert np.array_equal(read_mrc(kept.outputs["merged"]), read_mrc(again.outputs["merged"]))


def test_a_stop_in_the_middle_leaves_no_map(hard: AverageWorld) -> None:
    class Impatient(Listener):
        def advance(self, steps: int = 1) -> None:
            raise JobCancelled("stopped")

    with pytest.raises(JobCancelled):
        hard.average("Reconstruct/stopped", Impatient(), **SMALL, threads=2)
    assert not list((hard.root / "Reconstruct/stopped").iterdir())


def test_trajectories_move_particles_in_their_images(hard: AverageWorld, tmp_path: Path) -> None:
    """Particles whose coordinates are off by as much as their trajectories say give the same map."""
    particles = read_particles(hard.root / "particles.star")
    series = read_tomograms(hard.root / "tomograms.star").tilt_series("TS_01")
    away = np.array([22.0, -18.0, 0.0])  # in images of a tilt about y and z a shift along z differs in depth alone
    moves = dict(zip(relion.ORIGINS, np.tile(away, (len(series), 1)).T, strict=True))
    general = StarBlock.list(relion.GENERAL, {relion.PARTICLE_NUMBER: particles.n})
    write_star(tmp_path / "motion.star", [general, *(StarBlock.loop(name, moves) for name in particles.names)])
    world = AverageWorld(tmp_path)
    world.series = hard.series
    write_particles(tmp_path / "particles.star", particles.with_coordinates(particles.coordinates() - away))
    options: dict[str, Any] = {**SMALL, "tomograms": hard.root / "tomograms.star"}
    still = read_mrc(hard.average("Reconstruct/still", **SMALL).outputs["merged"])
    moved = world.average(**options, trajectories=tmp_path / "motion.star")
    lost = world.average("Reconstruct/lost", **options)
    assert against(read_mrc(moved.outputs["merged"]), still)[0] > 0.999
    assert against(read_mrc(lost.outputs["merged"]), still)[0] < 0.9
    assert any("motion.star are applied" in text for text in world.listener.messages)
    assert tilt_matrices(series).shape == (11, 3, 3)


def test_particles_at_the_edge_and_images_that_are_no_numbers_are_left_out_and_said(hard: AverageWorld, tmp_path: Path) -> None:
    world = hard.copy(tmp_path)
    plain = world.average("Reconstruct/plain", **SMALL)
    x, y, _ = HARD.places(world.positions[5], 3)
    image = np.memmap(tmp_path / "images/TS_01_03.mrc", np.float32, "r+", 1024, (260, 281))
    image[round(y), round(x)] = np.nan
    image.flush()
    result = world.average("Reconstruct/nan", **SMALL)
    assert any("1 particles are left out, whose images are no numbers: TS_01/6." in text for text in world.listener.warnings)
    assert result.numbers["particles"] == 15 and np.isfinite(read_mrc(result.outputs["merged"])).all()
    assert against(read_mrc(result.outputs["merged"]), read_mrc(plain.outputs["merged"]))[0] > 0.98
    world.fill(images=False, **{relion.CENTRED[0]: np.full(16, 2500.0)})
    with pytest.raises(GeometryError, match="found none among 16 with a box of 36 px, cropped to 24"):
        world.average("Reconstruct/none", **SMALL)
    assert not (tmp_path / "Reconstruct/none/merged.mrc").exists()


def test_tilt_series_of_different_pixels_are_refused(hard: AverageWorld, tmp_path: Path) -> None:
    world = hard.copy(tmp_path)
    text = (tmp_path / "tomograms.star").read_text()
    row = next(line for line in text.splitlines() if line.strip().startswith("TS_01"))
    other = row.replace("TS_01", "TS_02").replace(" 5.000000", " 6.000000")
    (tmp_path / "tomograms.star").write_text(f"{text.rstrip()}\n{other}\n")
    series = (tmp_path / "tilt_series/TS_01.star").read_text()
    (tmp_path / "tilt_series/TS_02.star").write_text(series.replace("data_TS_01", "data_TS_02"))
    world.particles(["TS_01", "TS_02"], np.zeros((2, 3)))
    with pytest.raises(GeometryError, match="one pixel size, found 6 Å in TS_02 and 5 Å in TS_01"):
        world.average(**SMALL)


def test_without_images_an_alignment_or_a_box_it_says_what_is_missing(hard: AverageWorld, tmp_path: Path) -> None:
    world = hard.copy(tmp_path)
    with pytest.raises(InputError, match="the particles were not extracted; give --box-size"):
        world.average(source="tilts")
    with pytest.raises(GeometryError, match="even and at most 60 px"):
        world.average(source="tilts", crop_size=39)
    (tmp_path / "images/TS_01_04.mrc").unlink()
    with pytest.raises(InputError, match=r"TS_01_04.mrc of TS_01 cannot be found"):
        world.average(**SMALL)
