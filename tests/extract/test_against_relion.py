"""Boxes cut from a tomogram that RELION reconstructed, against the pseudo-subtomograms that RELION extracted for the same particles."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.extract import run
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.numerics.fourier import centred_fft, phase_ramp, radial_mean, shells
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Silent

BOX = 16


@pytest.fixture(scope="module")
def sets(shared: Path, tmp_path_factory) -> tuple[Path, ParticleSet, ParticleSet]:
    """Project, our particles, RELION's."""
    root = tmp_path_factory.mktemp("golden") / "project"
    source = shared / "golden" / "relion5"
    if not (source / "RecTomo/tomograms").is_dir():
        pytest.skip("RELION's tomogram is not among the shared test data")
    for part in ("RecTomo", "Extract3d_bin2_f16", "tilt_series", "images"):
        shutil.copytree(source / part, root / part)
    shutil.copy(source / "particles.star", root)
    folder = JobFolder(Project(root), root / "Extract/job001")
    folder.path.mkdir(parents=True)
    options = ExtractOptions(
        particles=root / "particles.star", tomograms=root / "RecTomo/tomograms.star", source="tomogram", box_size=BOX, binning=2.0
    )
    result = run(options, folder, Silent())
    return root, read_particles(result.outputs["particles"]), read_particles(root / "Extract3d_bin2_f16/particles.star")


def test_poses_are_those_of_relions_extraction(sets):
    _, ours, theirs = sets
    assert ours.names == theirs.names
    np.testing.assert_allclose(ours.positions(), theirs.positions(), atol=1e-4)
    np.testing.assert_allclose(ours.orientations, theirs.orientations, atol=1e-6)
    np.testing.assert_allclose(ours.frames, np.broadcast_to(np.eye(3), ours.frames.shape), atol=1e-12)
    assert ours.half_sets.tolist() == theirs.half_sets.tolist()
    assert (ours.box_size, ours.pixel_size) == (theirs.box_size, theirs.pixel_size)


def test_boxes_show_the_same_things_at_the_same_places(sets):
    root, ours, theirs = sets
    upright = np.flatnonzero(np.abs(theirs.frames - np.eye(3)).max(axis=(1, 2)) < 1e-9)
    assert len(upright) == 12
    inner = (shells(BOX) > 0) & (shells(BOX) < 7)
    cross = np.zeros((BOX,) * 3, complex)
    mirrored = dict.fromkeys(range(3), 0.0)
    for row in upright:
        mine, relions = (read_mrc(root / particles.image_paths[row]) for particles in (ours, theirs))
        a, b = (centred_fft(volume) for volume in (mine, relions))
        a, b = (t / np.sqrt(radial_mean(np.abs(t) ** 2))[np.minimum(shells(BOX), BOX // 2)] for t in (a, b))
        cross += a.conj() * b / inner.sum() / len(upright)
        for axis in range(3):
            flipped = np.roll(np.flip(a, axis), 1, axis)
            mirrored[axis] += float((flipped.conj() * b).real[inner].sum()) / inner.sum() / len(upright)

    def agreement(shift_xyz: tuple[float, float, float]) -> float:
        return float((cross * phase_ramp((BOX,) * 3, shift_xyz).conj()).real[inner].sum())

    best = agreement((0, 0, 0))
    assert best > 0.6
    assert max(mirrored.values()) < best - 0.1  # along z a tilt series sees little of the hand
    for axis in range(3):
        for step in (-0.5, 0.5):
            assert agreement(tuple(step * np.eye(3)[axis])) < best - (0.005 if axis == 2 else 0.02)
