"""Which subtomograms are shown after an extraction, and how they are filtered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Silent
from napari_subtomo.viewer.results.montage import choose_rows, filtered, read_montage

N, PIXEL = 16, 10.0


def blob() -> np.ndarray:
    grid = np.indices((N, N, N)) - N // 2
    return np.exp(-(grid**2).sum(axis=0) / 18.0).astype(np.float32)


def extraction(root: Path, n: int = 6, *, stacks: bool = False, ctf: bool = False) -> Path:
    """A job with n particles in two tomograms: a bright blob in noise, real-space volumes or stacks of five tilts."""
    rng = np.random.default_rng(2)
    folder = root / "Extract" / "job002"
    (folder / "Subtomograms").mkdir(parents=True)
    names = [f"TS_0{1 + i % 2}/{i + 1}" for i in range(n)]
    ending = "stack2d.mrcs" if stacks else "data.mrc"
    for i in range(n):
        shape = (5, N, N) if stacks else (N, N, N)
        data = rng.normal(0, 0.2, shape) + (blob()[N // 2] if stacks else blob())
        write_mrc(folder / "Subtomograms" / f"{i}_{ending}", data.astype(np.float32), PIXEL)
        if ctf:
            write_mrc(folder / "Subtomograms" / f"{i}_ctf.mrc", np.ones((N, N, N // 2 + 1), np.float32), PIXEL)
    columns = {
        r.TOMO_NAME: [name.split("/")[0] for name in names],
        r.TOMO_PARTICLE_NAME: names,
        r.OPTICS_GROUP: [1] * n,
        r.IMAGE_NAME: [f"Extract/job002/Subtomograms/{i}_{ending}" for i in range(n)],
    }
    if ctf:
        columns[r.CTF_IMAGE] = [f"Extract/job002/Subtomograms/{i}_ctf.mrc" for i in range(n)]
    optics = {r.OPTICS_GROUP: [1], r.IMAGE_PIXEL_SIZE: [PIXEL], r.IMAGE_SIZE: [N], r.IMAGE_DIMENSIONALITY: [2 if stacks else 3]}
    write_particles(folder / "particles.star", ParticleSet.create(columns, optics, are_2d_stacks=stacks))
    return folder


def test_particles_come_evenly_from_all_tomograms_and_pages_show_all() -> None:
    tomograms = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    rows = choose_rows(tomograms, 24)
    assert [sum(tomograms[row] == name for row in rows) for name in "abc"] == [8, 8, 8]
    np.testing.assert_array_equal(rows, choose_rows(tomograms, 24))
    assert not set(rows) & set(choose_rows(tomograms, 24, page=1))
    assert set(np.concatenate([choose_rows(tomograms, 24, page=page) for page in range(5)])) == set(range(100))
    assert len(choose_rows(["a"] * 7, 24, page=3)) == 7
    assert choose_rows([], 24).tolist() == []


def test_dividing_by_the_weights_brings_the_low_frequencies_back() -> None:
    truth = blob().mean(axis=0)
    k = np.hypot(np.fft.fftfreq(N)[:, None], np.fft.rfftfreq(N)[None])
    weights = (0.02 + np.sin(60 * k**2) ** 2).astype(np.float32)  # as Σ CTF²: next to nothing near 0
    data = np.fft.fftshift(np.fft.irfft2(np.fft.rfft2(np.fft.ifftshift(truth)) * weights, s=(N, N))).astype(np.float32)

    def agreement(image: np.ndarray) -> float:
        return float(np.corrcoef(image.ravel(), truth.ravel())[0, 1])

    assert agreement(filtered(data, PIXEL, 40.0, weights)) > agreement(filtered(data, PIXEL, 40.0)) + 0.05
    assert abs(filtered(data + 7, PIXEL, 40.0, weights).mean()) < 1e-6


def test_a_low_pass_leaves_nothing_beyond_it() -> None:
    image = filtered(np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32), 5.0, 40.0)
    radius = np.hypot(np.fft.fftfreq(32, 5.0)[:, None], np.fft.rfftfreq(32, 5.0)[None])
    power = np.abs(np.fft.rfft2(image)) ** 2
    assert power[radius > 1 / 40 + 1.1 / 160].max() < 1e-6 * power.max()


def test_relions_pseudo_subtomograms_show_bright_particles_in_the_middle(golden: Path) -> None:
    montage = read_montage(golden / "Extract3d_bin2_f16", Project(golden), Silent())
    assert montage.caption == "24 of 24 subtomograms, box 16 px, 20.0 Å/px"
    assert montage.divided and "low-passed to 80 Å" in montage.treatment
    n = montage.box
    inner, outer = montage.mean[n // 2 - 2 : n // 2 + 3, n // 2 - 2 : n // 2 + 3].mean(), montage.mean[:, 0].mean()
    assert inner > outer + 0.3 * (montage.limits[1] - montage.limits[0])


@pytest.mark.parametrize("kind", ["volumes", "with a 3D CTF", "stacks"])
def test_volumes_and_stacks_of_tilts(tmp_path: Path, kind: str) -> None:
    folder = extraction(tmp_path, stacks=kind == "stacks", ctf=kind == "with a 3D CTF")
    montage = read_montage(folder, Project(tmp_path), Silent(), count=4)
    assert len(montage.images) == 4 and montage.total == 6 and not montage.divided
    assert montage.caption.startswith("4 of 6 2D tilt stacks" if kind == "stacks" else "4 of 6 subtomograms")
    assert all(np.unravel_index(image.argmax(), image.shape) == pytest.approx((N // 2, N // 2), abs=2) for image in montage.images)
    other = read_montage(folder, Project(tmp_path), Silent(), page=1, count=3)
    assert not set(other.names) & set(read_montage(folder, Project(tmp_path), Silent(), count=3).names)


def test_real_tilt_stacks_of_another_program(shared: Path) -> None:
    root = shared / "data" / "real_ribosomes_2dstacks"
    montage = read_montage(root, Project(root), Silent())
    assert montage.caption == "24 of 40 2D tilt stacks, box 32 px, 12.0 Å/px"
    assert {name.split("/")[0] for name in montage.names} == {"Unt_050", "Unt_076", "Unt_083", "Unt_088"}


def test_particles_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    folder = extraction(tmp_path)
    (folder / "Subtomograms" / "1_data.mrc").unlink()
    second = folder / "Subtomograms" / "2_data.mrc"
    second.write_bytes(second.read_bytes()[:1024] + np.full(N**3, np.nan, np.float32).tobytes())
    montage = read_montage(folder, Project(tmp_path), Silent())
    assert len(montage.names) == 4 and len(montage.broken) == 2
    assert any("1_data.mrc" in text for text in montage.broken) and any("NaN" in text for text in montage.broken)
    for i in range(6):
        (folder / "Subtomograms" / f"{i}_data.mrc").unlink(missing_ok=True)
    with pytest.raises(FileMissingError, match="None of 6"):
        read_montage(folder, Project(tmp_path), Silent())


def test_what_is_no_extraction_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"Expected particles\.star"):
        read_montage(tmp_path, Project(tmp_path), Silent())
    folder = extraction(tmp_path)
    whole = ParticleSet.create({r.TOMO_NAME: ["TS_01"], r.TOMO_PARTICLE_NAME: ["TS_01/1"]})
    write_particles(folder / "particles.star", whole)
    with pytest.raises(FileFormatError, match="not extracted"):
        read_montage(folder, Project(tmp_path), Silent())
    empty = replace(whole).select(np.zeros(1, dtype=bool))
    write_particles(folder / "particles.star", empty)
    with pytest.raises(InputError):
        read_montage(folder, Project(tmp_path), Silent())
