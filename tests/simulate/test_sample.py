"""A sample is a RELION 5 project: read as such, with the wanted noise, and with the truth where it says it is."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError
from scipy.ndimage import map_coordinates

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError, JobCancelled, OptionError
from napari_subtomo.geometry.frames import Frame, reverse_axes
from napari_subtomo.geometry.orientations import angular_distance, euler_to_matrix
from napari_subtomo.geometry.projection import project
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header, read_mrc, write_mrc
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder, Project, find_project
from napari_subtomo.io.star import StarBlock, read_star, write_star
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.numerics.fourier import lowpass, radial_mean, shells
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.progress import Silent
from napari_subtomo.simulate import make_sample, run
from napari_subtomo.simulate.densities import build_complex, render
from napari_subtomo.simulate.images import Slicer
from napari_subtomo.simulate.project import make_densities
from napari_subtomo.simulate.scene import make_scene, tilt_series
from napari_subtomo.simulate.series import clean_series, disc_mask, patch_size

from .conftest import SMALL

Sample = tuple[Path, JobResult]


def poses(block: StarBlock) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Positions (Å) and orientations."""
    angles = np.stack([block.floats(label) for label in relion.ANGLES], axis=1)
    return np.stack([block.floats(label) for label in relion.CENTRED], axis=1), euler_to_matrix(angles)


def test_the_project_is_complete_and_relative_to_itself(small_sample: Sample) -> None:
    folder, result = small_sample
    assert find_project(folder / "optimisation_set.star").root == folder
    entries = read_optimisation_set(folder / "optimisation_set.star")
    assert (entries.particles, entries.tomograms) == ("particles.star", "tomograms.star")
    tomograms = read_tomograms(folder / "tomograms.star", Project(folder))
    assert tomograms.names == ("TS_01", "TS_02")
    for tomogram in tomograms:
        assert tomogram.size_xyz == (160, 160, 48) and tomogram.hand == -1 and tomogram.binning == 1
        assert tomogram.tomogram_path is not None
        header = mrc_header(tomogram.tomogram_path)
        assert header.shape == (48, 160, 160) and header.voxel_size == pytest.approx(10)
        series = tomograms.tilt_series(tomogram.name)
        assert len(series.image_paths) == 21
        assert all(mrc_header(path).shape == (1, 160, 160) for path in series.image_paths)
    assert all(path.is_file() for path in result.outputs.values())
    assert not list(folder.rglob("*.tmp"))


def test_series_tables_are_named_as_their_tomogram(small_sample: Sample) -> None:
    for name in ("TS_01", "TS_02"):
        assert [block.name for block in read_star(small_sample[0] / "tilt_series" / f"{name}.star")] == [name]


def test_particles_are_a_relion_5_set(small_sample: Sample) -> None:
    particles = read_particles(small_sample[0] / "particles.star")
    assert particles.n == 40 and not particles.is_2d_stacks
    assert particles.names[:2] == ("TS_01/1", "TS_01/2") and len(set(particles.names)) == 40
    assert sorted(set(particles.half_sets)) == [1, 2] and abs((particles.half_sets == 1).sum() - 20) <= 1
    assert not particles.has(relion.MICROGRAPH_NAME)
    assert not any(particles.has(label) for label in relion.COORDINATES)
    np.testing.assert_array_equal(particles.origins, 0)


def test_truth_is_joined_by_name_and_close_to_the_picks(small_sample: Sample) -> None:
    folder, result = small_sample
    truth, picks = (read_star(folder / name)["particles"] for name in ("truth.star", "particles.star"))
    assert truth.labels[:3] == (relion.TOMO_NAME, "trueClass", "trueName")
    assert truth.texts(relion.TOMO_PARTICLE_NAME) == picks.texts(relion.TOMO_PARTICLE_NAME)
    (where, turned), (picked, guessed) = poses(truth), poses(picks)
    assert np.linalg.norm(where - picked, axis=1).max() < 25
    true = truth.ints("trueClass") > 0
    assert true.sum() == result.numbers["true"] == 28
    assert angular_distance(turned, guessed)[true].max() <= 10
    assert set(truth.texts("trueName")) == {"holo", "apo", "bead", "membrane", "empty"}


def test_more_species_have_the_domain_elsewhere(small_options: SimulateOptions) -> None:
    two, four = (make_densities(small_options.model_copy(update={"species": n}), Silent()).species for n in (2, 4))
    assert list(two) == ["holo", "apo"] and list(four) == ["holo", "apo", "holo_2", "holo_3"]
    masses = [four[name].sum() for name in ("holo", "holo_2", "holo_3")]
    np.testing.assert_allclose(masses, masses[0], rtol=1e-3)
    assert four["apo"].sum() == pytest.approx(0.88 * masses[0], rel=1e-3)
    away = [four[name] - four["apo"] for name in ("holo", "holo_2", "holo_3")]
    assert max(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in combinations(away, 2)) < 0.3
    with pytest.raises(ValidationError, match="expected 4 proportions, none negative, found 1 1"):
        SimulateOptions(species=4, proportions=(1.0, 1.0))


def test_the_same_seed_gives_the_same_files_whatever_the_threads(small_sample: Sample, tmp_path: Path) -> None:
    make_sample(tmp_path, seed=5, **{**SMALL, "threads": 3})
    for path in sorted(small_sample[0].rglob("*.*")):
        assert (tmp_path / path.relative_to(small_sample[0])).read_bytes() == path.read_bytes(), path.name


def test_another_seed_gives_other_particles(small_sample: Sample, tmp_path: Path) -> None:
    make_sample(tmp_path, seed=6, **{**SMALL, "tomograms": 1})
    a, b = (poses(read_star(folder / "truth.star")["particles"])[0][:5] for folder in (small_sample[0], tmp_path))
    assert not np.isclose(a, b).any()


def scenes(options: SimulateOptions) -> list[tuple[Any, Any]]:
    frame = Frame(options.size_xyz, options.pixel_size)
    both = [tilt_series(options, name, i) for i, name in enumerate(("TS_01", "TS_02"))]
    return [(make_scene(options, ["holo", "apo"], i, series, frame), series) for i, series in enumerate(both)]


def test_the_signal_to_noise_ratio_is_the_wanted_one(small_sample: Sample, small_options: SimulateOptions) -> None:
    folder, result = small_sample
    frame = Frame(small_options.size_xyz, 10.0)
    slicers = [Slicer(read_mrc(folder / "densities" / f"{name}.mrc"), patch_size(small_options)) for name in ("holo", "apo")]
    signal, noise = [], []
    for scene, series in scenes(small_options):
        image = read_mrc(series_image(folder, series.name, 10))[0]
        both = clean_series(small_options, slicers_of_all(folder, small_options), scene, series, frame, Silent())[10]
        true = scene.classes > 0
        only_true = type(scene)(*(np.asarray(v)[true] if not isinstance(v, tuple) else v for v in vars(scene).values()))
        protein = clean_series(small_options, slicers, only_true, series, frame, Silent())[10]
        places = project(scene.positions[true], series, frame, (160, 160))[10, :, :2]
        disc = disc_mask(image.shape, places, 8.0)
        signal.append(protein[disc])
        noise.append((image - both)[disc])
    realised = np.concatenate(signal).var() / np.concatenate(noise).var()
    assert realised == pytest.approx(0.05, rel=0.05)
    assert result.numbers["snr"] == pytest.approx(realised, rel=1e-3)


def series_image(folder: Path, name: str, tilt: int) -> Path:
    return folder / "images" / f"{name}_{tilt:02d}.mrc"


def slicers_of_all(folder: Path, options: SimulateOptions) -> list[Slicer]:
    names = ("holo", "apo", "bead", "membrane")
    return [Slicer(read_mrc(folder / "densities" / f"{name}.mrc"), patch_size(options)) for name in names]


def test_noise_is_white_and_grows_with_the_thickness(small_sample: Sample, small_options: SimulateOptions) -> None:
    folder = small_sample[0]
    frame = Frame(small_options.size_xyz, 10.0)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(160), np.fft.fftfreq(160)))
    scene, series = scenes(small_options)[0]
    clean = clean_series(small_options, slicers_of_all(folder, small_options), scene, series, frame, Silent())
    images = np.stack([read_mrc(series_image(folder, "TS_01", t))[0] for t in range(21)])
    noise = images - clean
    cosine = np.cos(np.radians(series.y_tilt))
    np.testing.assert_allclose(noise.var(axis=(1, 2)) * cosine, 1, atol=0.05)
    power = (np.abs(np.fft.fft2(noise)) ** 2 * cosine[:, None, None]).mean(axis=0) / 160**2
    rings = [power[(k >= low) & (k < low + 0.1)].mean() for low in (0.0, 0.1, 0.2, 0.3, 0.4)]
    np.testing.assert_allclose(rings, 1, atol=0.05)
    overlap = np.corrcoef(noise.reshape(21, -1))
    assert np.abs(overlap - np.eye(21)).max() < 0.03


def average(folder: Path, class_number: int, transpose: bool = False) -> npt.NDArray[np.float32]:
    """Tomogram around the true particles of a class, turned back by their true orientations, summed."""
    truth = read_star(folder / "truth.star")["particles"]
    positions, matrices = poses(truth)
    names, classes = np.array(truth.texts(relion.TOMO_NAME)), truth.ints("trueClass")
    axis = np.arange(24) - 12
    grid = reverse_axes(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3))
    total = np.zeros((24, 24, 24), np.float32)
    for tomogram in read_tomograms(folder / "tomograms.star", Project(folder)):
        assert tomogram.tomogram_path is not None
        volume = read_mrc(tomogram.tomogram_path)
        for i in np.flatnonzero((names == tomogram.name) & (classes == class_number)):
            matrix = matrices[i].T if transpose else matrices[i]
            points = grid @ matrix.T * 10.0 + positions[i]
            total += map_coordinates(volume, tomogram.frame.voxels_zyx(points).T, order=1).reshape(total.shape)
    return total


def test_true_particles_average_to_the_true_density_in_dark(tmp_path: Path) -> None:
    make_sample(
        tmp_path, seed=8, **{**SMALL, "snr": 1.0, "tomograms": 1, "proportions": (1.0, 0.0), "tilt_step": 3.0, "false_fraction": 0.0}
    )
    density = read_mrc(tmp_path / "densities" / "holo.mrc")

    def features(map_: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """What is left without the spherical part, which any orientations would give."""
        smooth = lowpass(map_, 10.0, 30.0)
        return np.asarray(smooth - radial_mean(smooth, 22)[shells(24)], dtype=np.float64)

    def agreement(map_: npt.NDArray[np.float32]) -> float:
        a, b = (features(m)[4:-4, 4:-4, 4:-4] for m in (map_, density))
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    assert agreement(average(tmp_path, 1)) < -0.85
    assert agreement(average(tmp_path, 1, transpose=True)) > -0.6
    assert agreement(np.ascontiguousarray(average(tmp_path, 1)[:, :, ::-1])) > -0.6


def test_binned_tomograms_have_relions_dimensions(tmp_path: Path) -> None:
    make_sample(tmp_path, **{**SMALL, "tomograms": 1, "particles": 2, "tilt_step": 20.0, "binning": 1.7})
    tomogram = read_tomograms(tmp_path / "tomograms.star", Project(tmp_path))["TS_01"]
    assert tomogram.tomogram_path is not None and tomogram.binning == pytest.approx(1.7)
    header = mrc_header(tomogram.tomogram_path)
    assert header.shape == (28, 94, 94) and header.voxel_size == pytest.approx(17)


def test_own_maps_become_species(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 4)):
        write_mrc(tmp_path / f"{name}.mrc", render(build_complex(150.0, 0.12, seed).core, 40, 6.0), 6.0)
    options = {**SMALL, "map": (tmp_path / "one.mrc", tmp_path / "two.mrc"), "tomograms": 1, "particles": 6, "tilt_step": 20.0}
    result = make_sample(tmp_path / "sample", **options)
    names = read_star(tmp_path / "sample" / "truth.star")["particles"].texts("trueName")
    assert [names.count(n) for n in ("one", "two")] == [3, 3]
    density = read_mrc(result.outputs["density_two"])
    expected = render(build_complex(150.0, 0.12, 4).core, 24, 10.0)
    assert np.corrcoef(density.ravel(), expected.ravel())[0, 1] > 0.97


def test_a_map_of_dark_protein_is_warned_about(tmp_path: Path) -> None:
    class Listener(Silent):
        warnings: list[str] = []  # noqa: RUF012 - one listener, one test

        def warn(self, text: str) -> None:
            self.warnings.append(text)

    write_mrc(tmp_path / "dark.mrc", -render(build_complex(150.0, 0.12, 3).core, 40, 6.0), 6.0)
    options = {**SMALL, "map": (tmp_path / "dark.mrc",), "tomograms": 1, "particles": 2, "tilt_step": 40.0}
    make_sample(tmp_path / "sample", reporter=Listener(), **options)
    assert len(Listener.warnings) == 1 and "dark.mrc" in Listener.warnings[0]


def test_a_foreign_project_is_left_alone(tmp_path: Path) -> None:
    write_star(tmp_path / "tomograms.star", [StarBlock.loop("global", {relion.TOMO_NAME: ["01"]})])
    before = (tmp_path / "tomograms.star").read_bytes()
    with pytest.raises(InputError, match="another folder"):
        make_sample(tmp_path, **SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["tomograms.star"]
    assert (tmp_path / "tomograms.star").read_bytes() == before


@pytest.mark.parametrize(("wrong", "words"), [({"width": 33}, "even width"), ({"hand": 0}, "hand"), ({"colour": 1}, "colour")])
def test_impossible_options_are_named(tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make_sample(tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


def test_a_stop_is_obeyed_and_leaves_no_tables(tmp_path: Path) -> None:
    class Impatient(Silent):
        def advance(self, steps: int = 1) -> None:
            raise JobCancelled("stopped")

    with pytest.raises(JobCancelled):
        run(SimulateOptions(seed=5, **SMALL), JobFolder(Project(tmp_path), tmp_path), Impatient())
    assert not list(tmp_path.rglob("*.star"))
