"""Insertion of slices against what RELION 5.0.1 wrote, and against what it must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.geometry.projection import tilt_matrices, tilt_matrix
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.numerics.ctf import ctf, dose_weight
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.slices import insert_slices

PIXEL, BOX, CUT = 20.0, 16, 24  # of the golden extraction: cropped from 24 to 16 px
ROWS = (0, 1, 7)  # with frames of their own and without


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(((found - wanted) ** 2).sum() / (wanted**2).sum()))


def inserted(root: Path, row: int) -> tuple[np.ndarray, ...]:
    """Data, weights and multiplicity from one of RELION's 2D stacks; the CTF is computed here from the STAR files."""
    particles = read_particles(root / "Extract2d_bin2_f16/particles.star")
    tomograms = read_tomograms(root / "tomograms.star", Project(root))
    tomogram, series = tomograms["TS_01"], tomograms.tilt_series("TS_01")
    seen = np.array([flag == "1" for flag in particles.texts("rlnTomoVisibleFrames")[row].strip("[]").split(",")])
    matrices = tilt_matrices(series)[seen]
    depth = matrices[:, 2] @ particles.coordinates()[row] * tomogram.hand
    defocus, dose, scale = ((values[seen] + change)[:, None, None] for values, change in
                            ((series.defocus_u, depth), (series.dose, 0), (series.scale, 0)))  # fmt: skip
    kx, ky = np.fft.rfftfreq(CUT, PIXEL), np.fft.fftfreq(CUT, PIXEL)[:, None]
    transfer = ctf(kx, ky, tomogram.voltage, tomogram.cs, tomogram.amplitude_contrast, defocus, defocus, 0.0)
    transfer = transfer * scale * dose_weight(np.hypot(kx, ky), dose)
    images = read_mrc(root / f"Extract2d_bin2_f16/Subtomograms/TS_01/{row + 1}_stack2d.mrcs")
    values = np.fft.rfft2(np.fft.ifftshift(resize_centred(images, (len(images), CUT, CUT)), axes=(1, 2)))
    axes = (matrices @ particles.frames[row])[:, :2] * BOX / CUT
    sums, weights, multiplicity = insert_slices(values, transfer**2, axes, BOX)
    data = np.fft.fftshift(np.fft.irfftn(sums, s=(BOX,) * 3, axes=(0, 1, 2))) * np.sqrt(BOX * PIXEL / tomogram.pixel_size)
    return data, weights, multiplicity


@pytest.mark.parametrize("row", ROWS)
def test_stacks_inserted_are_the_pseudo_subtomograms_that_relion_extracted(golden: Path, row: int) -> None:
    data, weights, multiplicity = inserted(golden, row)
    folder = golden / "Extract3d_bin2_f16/Subtomograms/TS_01"
    stored = read_mrc(folder / f"{row + 1}_weights.mrc")
    # float16 keeps 11 bits: 2⁻¹² in each value of either file
    assert relative(data, read_mrc(folder / f"{row + 1}_data.mrc")) < 5e-4
    assert relative(weights, stored[:BOX]) < 5e-4
    assert relative(multiplicity, stored[BOX:]) < 5e-4


def test_a_slice_along_the_box_lands_on_its_plane_and_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    transform = np.fft.rfft2(rng.standard_normal((8, 8)))
    axes = np.eye(3)[None, :2]
    sums, weights, multiplicity = insert_slices(transform[None], np.ones((1, 8, 5)), axes, 8)
    ky, kx = np.fft.fftfreq(8, 1 / 8)[:, None], np.arange(5)
    inside = np.hypot(kx, ky) <= 4
    inside[4, 0] = False  # ky = -4 on the column that holds both Friedel mates
    wanted = np.where(inside, transform, 0)
    wanted[0, 0] *= 2  # the origin is its own mate
    np.testing.assert_allclose(sums[0], wanted, atol=1e-5)
    assert multiplicity[0, 0, 0] == 2 and not multiplicity[1:].any()
    np.testing.assert_array_equal(weights, multiplicity)


def test_sums_on_the_plane_kx_0_are_friedel_symmetric_and_the_volume_real() -> None:
    rng = np.random.default_rng(1)
    values = np.fft.rfft2(rng.standard_normal((3, 12, 12)))
    axes = random_matrices(3, rng)[:, :2]
    sums, weights, _ = insert_slices(values, np.abs(values), axes, 12)
    minus = -np.arange(12) % 12
    np.testing.assert_allclose(sums[:, :, 0], sums[minus][:, minus][:, :, 0].conj(), atol=1e-5)
    np.testing.assert_allclose(weights[:, :, 0], weights[minus][:, minus][:, :, 0], rtol=1e-5)


def test_the_multiplicity_of_a_slice_cut_larger_is_that_of_one_sample_a_voxel() -> None:
    axes = tilt_matrix(0, 20.0, 35.0)[None, :2]
    totals = []
    for size in (32, 48, 64):
        ones = np.ones((1, size, size // 2 + 1))
        totals.append(insert_slices(ones + 0j, ones, axes * 32 / size, 32)[2].sum())
    assert totals[1] == pytest.approx(totals[0], rel=0.03)
    assert totals[2] == pytest.approx(totals[0], rel=0.03)


def test_samples_that_do_not_count_leave_nothing() -> None:
    rng = np.random.default_rng(2)
    values, axes = np.fft.rfft2(rng.standard_normal((2, 8, 8))), random_matrices(2, rng)[:, :2]
    counts = np.stack([np.ones((8, 5)), np.zeros((8, 5))])
    both = insert_slices(values, np.abs(values), axes, 8, counts)
    first = insert_slices(values[:1], np.abs(values[:1]), axes[:1], 8)
    for found, wanted in zip(both, first, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_an_odd_box_works_too() -> None:
    rng = np.random.default_rng(3)
    values = np.fft.rfft2(rng.standard_normal((2, 9, 9)))
    sums, weights, multiplicity = insert_slices(values, np.abs(values), random_matrices(2, rng)[:, :2], 9)
    assert sums.shape == weights.shape == multiplicity.shape == (9, 9, 5)
    assert np.isfinite(sums).all() and multiplicity.max() < 5


@pytest.mark.parametrize("shape", [(2, 3), (3, 2, 3), (1, 3, 3)])
def test_axes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError, match="axes"):
        insert_slices(np.zeros((2, 8, 5), complex), np.zeros((2, 8, 5)), np.zeros(shape), 8)


def test_slices_turned_into_matrices_a_few_at_a_time_add_up_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    values, axes = np.fft.rfft2(rng.standard_normal((5, 8, 8))), random_matrices(5, rng)[:, :2]
    together = insert_slices(values, np.abs(values), axes, 8)
    monkeypatch.setattr("napari_subtomo.numerics.slices._CHUNK", 60)  # two slices of 25 samples at once, and one is left
    for found, wanted in zip(insert_slices(values, np.abs(values), axes, 8), together, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
