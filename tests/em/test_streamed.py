"""Particles on disk are those in memory to the precision of float16, whichever way they are asked for."""

import os
import pickle
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em import streamed
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.prepare import Prepared, prepare
from napari_subtomo.em.state import State
from napari_subtomo.em.streamed import make_rows, streamed_bytes
from napari_subtomo.errors import InputError
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.progress import Silent

LATTICE = Lattice.of(24, 12)
COUNT = 7


@pytest.fixture(scope="module")
def values():
    """Spectra that fall by eleven orders of magnitude, of particles that differ by six."""
    rng = np.random.default_rng(3)
    scale = np.exp(-2.3 * LATTICE.shell)[None] * np.logspace(-3, 3, COUNT)[:, None]
    shape = (COUNT, len(LATTICE))
    data = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * scale
    weights = rng.uniform(0, 40, shape) * (rng.uniform(size=shape) > 0.3)
    weights[:, LATTICE.shell == 5] = 0
    return data.astype(np.complex64), weights.astype(np.float32)


@pytest.fixture
def rows(values, tmp_path):
    made = make_rows(tmp_path / "scratch", ("G", "H"), COUNT, LATTICE)
    for row in (3, 0, 6, 1, 2, 5, 4):
        for one, whole in zip(made, values, strict=True):
            one.put(row, whole[row])
    return made


def test_every_shell_of_every_particle_keeps_eleven_bits(rows, values):
    for one, whole in zip(rows, values, strict=True):
        found = one[np.arange(COUNT)]
        assert found.dtype == whole.dtype and found.shape == whole.shape == one.shape and len(one) == COUNT
        parts = (found, whole) if whole.dtype == np.float32 else (found.view(np.float32), whole.view(np.float32))
        for i in range(COUNT):
            np.testing.assert_allclose(parts[0][i], parts[1][i], rtol=2.0**-11, atol=np.abs(parts[1][i]).min() + 1e-30)
        assert not found[whole == 0].any()


@pytest.mark.parametrize(
    "key",
    [
        3,
        np.int64(-1),
        np.array([4, 0, 4]),
        slice(1, 4),
        (2, slice(None, 40)),
        (2, slice(50, None)),
        (np.array([5, 1]), slice(None, 100)),
        (np.arange(COUNT) % 2 == 0, slice(None, 10)),
        (0, np.array([7, 3, 3, 50])),
        (np.array([], np.int64), slice(None, 5)),
    ],
)
def test_any_part_is_that_part_of_the_whole(rows, key):
    for one in rows:
        part, whole = one[key], one[np.arange(COUNT)][key]
        np.testing.assert_array_equal(part, whole)
        assert part.dtype == whole.dtype and part.flags.c_contiguous


def test_files_are_as_large_as_foretold_and_a_prefix_is_read_alone(rows):
    for one, real in zip(rows, (False, True), strict=True):
        assert os.path.getsize(one.path) == streamed_bytes(COUNT, len(LATTICE), real)
    g = rows[0]
    before = g[2, :30]
    with g.path.open("r+b") as file:  # what lies behind the prefix of the last row is gone
        file.truncate(6 * g.row_bytes + 30 * 4)
    np.testing.assert_array_equal(g[2, :30], before)
    assert g[6, :30].shape == (30,)
    with pytest.raises(InputError, match="cut off"):
        g[6]


def test_another_process_reads_the_same(rows):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows[0]))[2], rows[0][2])


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(streamed.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"Expected room for 0.1 GB of particles in .*only 0.0 GB are free; name another.*--scratch-dir"):
        make_rows(tmp_path / "full", ("G",), 10, LATTICE)
    monkeypatch.undo()
    monkeypatch.setattr(streamed, "_reserve", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match=r"found: No space left on device; name another place with --scratch-dir"):
        make_rows(tmp_path / "later", ("G",), 10, LATTICE)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--scratch-dir"):
        make_rows(tmp_path / "file" / "below", ("G",), 10, LATTICE)


@pytest.fixture(scope="module")
def setups(tmp_path_factory):
    """One world in memory and on disk."""
    small = world.simulate(n=24, count=16, snr=0.8, species=2, empty=4, error=8.0, seed=2, domain=2.0)
    options = {"classes": 2, "iterations": 3, "consensus_iterations": 1, "offset_range": 1.0, "restarts": 2}
    setup = world.setup(small, **options)
    mask = soft_sphere(24, setup.options.mask_diameter / 2 / world.PIXEL, 5)
    held = prepare(
        *(setup.load, setup.frames, setup.input_offsets, setup.lattice, 2, Silent(), mask), folder=tmp_path_factory.mktemp("scratch") / "p"
    )
    return setup, replace(setup, prepared=held)


def test_streamed_particles_are_those_in_memory(setups):
    memory, disk = setups[0].prepared, setups[1].prepared
    assert isinstance(disk, Prepared) and len(disk) == len(memory)
    for name in ("G", "GE", "H"):
        whole = getattr(memory, name)
        np.testing.assert_allclose(getattr(disk, name)[np.arange(len(memory))], whole, rtol=1e-2, atol=1e-3 * np.abs(whole).max())
    assert disk.GE is not disk.G


def test_iterations_with_streamed_particles_find_the_same(setups):
    found = []
    for setup in setups:
        state = initial_state(setup)
        for _ in range(3):
            state, classes = one_iteration(setup, state, Silent())
        found.append((state, classes))
    (a, in_memory), (b, on_disk) = found
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_allclose(on_disk.log_evidence, in_memory.log_evidence, atol=0.1)
    for name in (f.name for f in fields(State) if f.name in ("maps", "noise", "offsets", "orientations")):
        x, y = getattr(a, name), getattr(b, name)
        np.testing.assert_allclose(y, x, atol=2e-3 * np.abs(x).max(), err_msg=name)
