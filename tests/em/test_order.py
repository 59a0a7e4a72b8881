"""Neither the order of particles in their file nor what they are called changes a digit of a classification."""

from pathlib import Path

import numpy as np
import pytest
from helpers import em_files
from helpers.em_world import World, simulate

from napari_subtomo.em.inputs import canonical_order
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.star import read_star

TOMOGRAMS = ("TS_1", "TS_2", "TS_3")
LAST = 3
OPTIONS = {"iterations": LAST, "consensus_iterations": 1, "folds": 3, "absolute_greyscale": False}


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(n=16, count=21, empty=3, snr=1.0, species=2, error=5.0, seed=2, domain=2.0, wedges=(0.0, 50.0, 100.0))


def classified(root: Path, world: World, name: str = "Class3D/job001") -> tuple[ParticleSet, dict[str, np.ndarray], Path]:
    """Particles, maps and folder of a run."""
    folder, _ = em_files.classify(root, world, name, **OPTIONS)
    maps = {path.name: read_mrc(path) for path in sorted(folder.path.glob("*_class*.mrc"))}
    return read_particles(folder.file(f"run_it{LAST:03d}_data.star")), maps, folder.path


def test_the_order_of_rows_and_the_names_of_particles_change_no_digit(world: World, tmp_path: Path) -> None:
    order = np.random.default_rng(8).permutation(len(world.particles))
    em_files.write_project(tmp_path / "one", world, tomograms=TOMOGRAMS)
    path = em_files.write_project(tmp_path / "other", world, order=order, tomograms=TOMOGRAMS)
    written = read_particles(path)
    names = [f"{tomogram}/{999 - row}" for row, tomogram in enumerate(written.tomo_names)]
    write_particles(path, written.with_columns({r.TOMO_PARTICLE_NAME: names}))
    (plain, maps, here), (other, same_maps, there) = (classified(tmp_path / name, world) for name in ("one", "other"))
    for label in plain.star["particles"].labels:
        if label != r.TOMO_PARTICLE_NAME:
            assert other.texts(label) == plain.select(order).texts(label), label
    assert maps.keys() == same_maps.keys() and len(maps) > 6
    for name, volume in maps.items():
        np.testing.assert_array_equal(volume, same_maps[name], err_msg=name)
    models = [read_star(folder / f"run_it{LAST:03d}_model.star") for folder in (here, there)]
    for block, same in zip(*(model.blocks for model in models), strict=True):
        differ = {label: (values, same.columns[label]) for label, values in block.columns.items() if values != same.columns[label]}
        assert set(differ) <= {r.ITERATION_SECONDS}, (block.name, differ)


def test_particles_at_equal_places_of_two_tomograms_have_an_order_too() -> None:
    """Picks on a grid: coordinates count from the centre of each tomogram, and angles may all be 0."""
    places = np.tile([[10.0, 0, 0], [0, 10.0, 0], [0, 0, 10.0]], (3, 1))
    columns = dict(zip(r.CENTRED, places.T, strict=True)) | {label: np.zeros(9) for label in (*r.ANGLES, *r.ORIGINS)}
    one = ParticleSet.create({r.TOMO_NAME: np.repeat(TOMOGRAMS, 3).tolist(), **columns})
    for seed in range(5):
        rows = np.random.default_rng(seed).permutation(9)
        np.testing.assert_array_equal(rows[canonical_order(one.select(rows))], canonical_order(one))
