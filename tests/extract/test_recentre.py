"""Refined particles before they are extracted again: offsets reset, coordinates re-centred on a point of the map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.extract_world import FULL, Listener, World, blobs
from pydantic import ValidationError

from napari_subtomo.errors import InputError
from napari_subtomo.extract import run as extract
from napari_subtomo.extract.recentre import recentre, recentred, reset
from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.numerics.fourier import lowpass
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.options.recentre import RecentreOptions
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.progress import Silent
from napari_subtomo.reconstruct import run as average

PIXEL = 10.0
OPTICS = {
    relion.OPTICS_GROUP: [1],
    relion.OPTICS_GROUP_NAME: ["optics1"],
    relion.VOLTAGE: [300.0],
    relion.SPHERICAL_ABERRATION: [2.7],
    relion.AMPLITUDE_CONTRAST: [0.1],
    relion.TILT_SERIES_PIXEL_SIZE: [PIXEL],
    relion.IMAGE_PIXEL_SIZE: [PIXEL],
    relion.IMAGE_SIZE: [24],
}


class Refined:
    """A refined set whose true positions and orientations are known."""

    def __init__(self, true: np.ndarray, seed: int = 3, framed: bool = True) -> None:
        rng = np.random.default_rng(seed)
        n = len(true)
        self.true, self.frames = true, random_matrices(n, rng) if framed else np.repeat(np.eye(3)[None], n, axis=0)
        self.angles, self.origins = random_matrices(n, rng), rng.uniform(-25, 25, (n, 3))
        columns = {
            relion.TOMO_NAME: ["T"] * n,
            # a particle is at c - S·o
            **dict(zip(relion.CENTRED, (true + np.einsum("nij,nj->ni", self.frames, self.origins)).T, strict=True)),
            **dict(zip(relion.ORIGINS, self.origins.T, strict=True)),
            **dict(zip(relion.ANGLES, matrix_to_euler(self.angles).T, strict=True)),
            **dict(zip(relion.SUBTOMOGRAM_ANGLES, matrix_to_euler(self.frames).T, strict=True)),
            relion.ANGLE_TILT_PRIOR: ["90.0"] * n,
            relion.RANDOM_SUBSET: [1 + i % 2 for i in range(n)],
            relion.CLASS_NUMBER: [1 + i % 3 for i in range(n)],
            relion.OPTICS_GROUP: [1] * n,
        }
        self.particles = ParticleSet.create(columns, OPTICS, are_2d_stacks=False)


@pytest.fixture
def refined() -> Refined:
    return Refined(np.random.default_rng(1).uniform(-300, 300, (20, 3)))


def test_recentring_on_the_middle_keeps_true_positions_and_leaves_no_offset(refined: Refined) -> None:
    result = recentred(refined.particles)
    np.testing.assert_allclose(result.coordinates(), refined.true, atol=2e-5)  # columns have six digits
    assert not result.origins.any()


def test_recentring_on_a_point_moves_each_particle_by_that_point_turned_into_the_tomogram(refined: Refined) -> None:
    point = np.array([3.0, -1.5, 7.25])
    result = recentred(refined.particles, point)
    expected = refined.true + np.einsum("nij,njk,k->ni", refined.frames, refined.angles, point * PIXEL)
    np.testing.assert_allclose(result.positions(), expected, atol=2e-4)  # angles have six digits, the point is 80 Å away
    assert not result.origins.any()


def test_resetting_keeps_coordinates_as_they_were_written(refined: Refined) -> None:
    result = reset(refined.particles)
    assert [result.texts(label) for label in relion.CENTRED] == [refined.particles.texts(label) for label in relion.CENTRED]
    assert not result.origins.any()
    fresh = refined.particles.without_columns(*relion.ORIGINS)
    assert reset(fresh) is fresh


@pytest.mark.parametrize("change", [reset, recentred, lambda particles: recentred(particles, (1, 2, 3))])
def test_orientations_priors_half_sets_and_classes_are_the_same_text(refined: Refined, change) -> None:
    result = change(refined.particles)
    touched = {*relion.CENTRED, *relion.ORIGINS}
    for label in refined.particles.table.labels:
        if label not in touched:
            assert result.texts(label) == refined.particles.texts(label), label
    assert result.optics is refined.particles.optics


def test_a_prior_of_the_offset_stays_where_it_is_in_the_tomogram(refined: Refined) -> None:
    prior = np.random.default_rng(2).uniform(-5, 5, (20, 3))
    particles = refined.particles.with_columns(dict(zip(relion.ORIGIN_PRIORS, prior.T, strict=True)))
    result = recentred(particles, (4, 0, -2))
    moved = np.stack([result.floats(label) for label in relion.ORIGIN_PRIORS], axis=-1)

    def place(of: ParticleSet, offset: np.ndarray) -> np.ndarray:
        return of.coordinates() - np.einsum("nij,nj->ni", of.frames, offset)

    np.testing.assert_allclose(place(result, moved), place(particles, prior), atol=1e-4)


def test_the_numbers_are_those_of_relions_star_handler(golden: Path) -> None:
    """`relion_star_handler --center --center_X 2.5 --center_Y -1.25 --center_Z 4` of RELION 3.1.3 wrote these offsets."""
    particles = read_particles(golden / "Extract3d" / "particles.star").select([0, 1, 2])
    written = [[14.041637, -2.74604, -46.65342], [-14.63134, -28.57337, -36.75237], [41.730392, -13.46874, 21.410687]]
    theirs = particles.with_poses(origins=written).positions()
    np.testing.assert_allclose(recentred(particles, (2.5, -1.25, 4)).positions(), theirs, atol=2e-5)


def test_what_cannot_be_known_is_refused(refined: Refined) -> None:
    with pytest.raises(InputError, match="angles"):
        recentred(refined.particles.without_columns(*relion.ANGLES), (1, 0, 0))
    mixed = refined.particles.with_columns({relion.OPTICS_GROUP: [1, 2] * 10})
    two = {label: values * 2 for label, values in OPTICS.items()} | {relion.OPTICS_GROUP: [1, 2], relion.IMAGE_PIXEL_SIZE: [10.0, 12.0]}
    with pytest.raises(InputError, match="one pixel size"):
        recentred(ParticleSet.create(mixed.table.columns, two), (1, 0, 0))


@pytest.mark.parametrize(
    "values", [{"reset_offsets": True, "recenter": True}, {"recenter_on": (1, 0, 0)}, {"reset_offsets": True, "recenter_on": (0, 1, 0)}]
)
def test_contradictory_options_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="expected"):
        RecentreOptions(**values)  # type: ignore[arg-type]


def test_what_is_done_is_said_and_nothing_is_done_by_default(refined: Refined) -> None:
    assert recentre(RecentreOptions(), refined.particles, None, Silent()) is refined.particles
    listener = Listener()
    recentre(RecentreOptions(reset_offsets=True), refined.particles, None, listener)
    recentre(RecentreOptions(recenter=True, recenter_on=(3, 0, 4)), refined.particles, None, listener)
    assert "largest was" in listener.messages[0] and "50.0 Å from its centre" in listener.messages[1]


def test_after_extraction_the_average_has_the_point_in_its_middle(tmp_path: Path) -> None:
    """The strongest blob, 70 Å from the middle of the particle, is in the middle of the average of what was cut around it."""
    true = np.array([[x, y, z] for x in (-190.0, 0, 190) for y in (-190.0, 0, 190) for z in (-150.0, 150)])
    refined = Refined(true, framed=True)
    world = World(tmp_path)
    shape, point = (64, 72, 72), np.array([7.0, 0, 0.5])
    volume = np.zeros(shape, np.float32)
    for position, turn in zip(true, refined.frames @ refined.angles, strict=True):
        z, y, x = shape
        volume += blobs(
            shape, PIXEL, np.array([z / 2 + position[2] / PIXEL, y / 2 + position[1] / PIXEL, x / 2 + position[0] / PIXEL]), turn, 14.0
        )
    world.tomogram("T", volume, pixel=PIXEL, tilts=FULL)
    write_particles(tmp_path / "particles.star", refined.particles)
    how = {"invert": False, "normalize": False, "float16": False, "recenter": True, "recenter_on": tuple(point)}
    extracted = world.extract(box_size=20, binning=1.0, **how)
    assert any("70.2 Å from its centre" in message for message in world.listener.messages)
    assert extracted.numbers["particles"] == len(true)
    kept = read_particles(extracted.outputs["particles"])
    assert kept.half_sets.tolist() == refined.particles.half_sets.tolist()
    assert kept.class_numbers.tolist() == refined.particles.class_numbers.tolist()
    (tmp_path / "Reconstruct").mkdir()
    options = ReconstructOptions(particles=extracted.outputs["particles"], device="cpu")
    found = read_mrc(average(options, JobFolder(Project(tmp_path), tmp_path / "Reconstruct"), Silent()).outputs["merged"])
    assert np.unravel_index(np.argmax(found), found.shape) == (10, 10, 10)
    z, y, x = 10 - point[2], 10 - point[1], 10 - point[0]
    expected = blobs((20, 20, 20), PIXEL, np.array([z, y, x]), np.eye(3), 14.0)
    inside = np.linalg.norm(np.indices(expected.shape) - 10, axis=0) < 7  # beyond there are neighbours
    assert np.corrcoef(found[inside], expected[inside])[0, 1] > 0.98


@pytest.mark.parametrize("binning", [1.0, 2.0])
def test_particles_of_tilt_images_are_cut_around_the_point_in_pixels_of_the_refined_map(
    shared: Path, tmp_path: Path, binning: float
) -> None:
    """RELION's own particles with refined offsets: the average of what is cut around a point is the former one, moved."""
    root = shared / "golden" / "relion5"
    refined = read_particles(root / "Extract3d" / "particles.star")
    origins = np.random.default_rng(4).uniform(-30, 30, (refined.n, 3))
    moved = refined.coordinates() + np.einsum("nij,nj->ni", refined.frames, origins)
    write_particles(tmp_path / "run_data.star", refined.with_coordinates(moved).with_poses(origins=origins))
    point = np.array([4.0, -2.0, 6.0])  # pixels of 10 Å
    project, size = Project(root), int(32 / binning)

    def averaged(job: str, **options: object) -> np.ndarray:
        values = {"particles": tmp_path / "run_data.star", "tomograms": root / "tomograms.star", "binning": binning}
        values |= {"source": "tilts", "stack2d": False, "box_size": int(48 / binning), "crop_size": size, "float16": False}
        folders = [JobFolder(project, tmp_path / job / name) for name in ("Extract", "Average")]
        for folder in folders:
            folder.path.mkdir(parents=True)
        extracted = extract(ExtractOptions(**values, **options), folders[0], Silent())
        written = read_particles(extracted.outputs["particles"])
        assert not written.origins.any() and written.half_sets.tolist() == refined.half_sets.tolist()
        assert written.pixel_size == 10 * binning and written.box_size == size
        found = average(ReconstructOptions(particles=extracted.outputs["particles"], device="cpu"), folders[1], Silent())
        return np.asarray(lowpass(read_mrc(found.outputs["merged"]), 10 * binning, 45.0))  # finer there is noise

    plain, around = averaged("plain"), averaged("around", recenter=True, recenter_on=tuple(point))
    x, y, z = (point / binning).astype(int)
    expected = np.roll(plain, (-z, -y, -x), axis=(0, 1, 2))
    inside = np.linalg.norm(np.indices(plain.shape) - size // 2, axis=0) < 0.22 * size
    assert np.corrcoef(around[inside], expected[inside])[0, 1] > 0.97
    assert np.corrcoef(around[inside], plain[inside])[0, 1] < 0.8
    forgotten = averaged("forgotten", reset_offsets=True)
    assert np.corrcoef(forgotten[inside], plain[inside])[0, 1] < 0.9  # up to 52 Å off
