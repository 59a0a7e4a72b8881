"""Where memory runs out, blocks become smaller, and the result stays."""

import numpy as np
import pytest
from helpers import em_world as world
from helpers import strict_cupy
from helpers.no_loops import without_loops

from napari_subtomo.em import accumulate, blocks, expectation, pose_sums, posteriors
from napari_subtomo.em.blocks import Shrinking
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.errors import DeviceError, JobError
from napari_subtomo.progress import Silent


class Hears(Silent):
    """Keeps warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def limited(most, done, error=MemoryError):
    """Work that has memory for so many."""

    def work(ids):
        if len(ids) > most:
            raise error("too many")
        done.append(ids.tolist())

    return work


def test_blocks_are_halved_until_they_fit_and_stay_so():
    done, hears = [], Hears()
    shrinking = Shrinking("cpu", "particles", hears)
    shrinking.run([np.arange(10), np.arange(10, 17)], limited(3, done))
    assert done == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13], [14, 15], [16]]
    assert [text.split(": ")[1] for text in hears.warnings] == [
        "particles are taken 5 at a time from here on.",
        "particles are taken 2 at a time from here on.",
    ]
    shrinking.run([np.arange(3)], limited(2, done))
    assert done[-2:] == [[0, 1], [2]] and len(hears.warnings) == 2


def test_too_little_for_one_is_a_sentence():
    with pytest.raises(JobError, match="not enough memory to work on particles one by one; use fewer classes"):
        Shrinking("cpu", "particles", Silent()).run([np.arange(5)], limited(0, []))
    with strict_cupy.installed(), pytest.raises(DeviceError, match=r"GPU cuda:1 has not enough free memory.*--device cpu"):
        Shrinking("cuda:1", "particles", Silent()).run([np.arange(5)], limited(0, []))


def test_other_errors_pass():
    with pytest.raises(ValueError, match="too many"):
        Shrinking("cpu", "particles", Silent()).run([np.arange(5)], limited(0, [], ValueError))


def test_memory_of_a_gpu_is_given_back_before_the_next_try(monkeypatch):
    given = []
    monkeypatch.setattr(blocks, "release_memory", given.append)
    with strict_cupy.installed() as cupy:
        error = cupy.cuda.memory.OutOfMemoryError
        Shrinking("cuda:0", "particles", Silent()).run([np.arange(4)], limited(1, [], error))
    assert given == ["cuda:0", "cuda:0"]


def test_references_are_turned_fewer_at_a_time_when_memory_is_short(monkeypatch):
    small = world.simulate(n=16, count=8, snr=1.0, species=1, seed=4)
    setup = world.setup(small, iterations=1, offset_range=1.0, folds=2, threads=1)
    state = initial_state(setup)
    whole, _ = one_iteration(setup, state, Silent())
    hears, real, sizes = Hears(), expectation._interpolation, []

    def scarce(step, rotations, xp):
        if len(rotations) > 1:  # the first two times that references are turned
            sizes.append(len(rotations))
            if len(sizes) <= 2:
                raise MemoryError
        return real(step, rotations, xp)

    monkeypatch.setattr(expectation, "_interpolation", scarce)
    parts, _ = one_iteration(setup, state, hears)
    assert (
        sizes[1] == sizes[0] // 2 and sizes[2] == sizes[0] // 4 and ["rotations are taken" in text for text in hears.warnings] == [True] * 2
    )
    np.testing.assert_array_equal(whole.labels, parts.labels)
    np.testing.assert_allclose(parts.maps, whole.maps, atol=1e-4 * np.abs(whole.maps).max())


@pytest.mark.parametrize("where", ["score", "collect"])
def test_an_e_step_that_runs_out_of_memory_finds_the_same(monkeypatch, where):
    small = world.simulate(n=16, count=12, snr=1.0, species=1, seed=4)
    setup = world.setup(small, iterations=1, offset_range=1.0, folds=2, threads=1)
    state = initial_state(setup)
    whole, _ = one_iteration(setup, state, Silent())
    hears, real = Hears(), getattr(expectation, where)

    def scarce(*arguments):
        ids = arguments[2] if where == "score" else arguments[1]
        if len(ids) > 2:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(expectation, where, scarce)
    parts, _ = one_iteration(setup, state, hears)
    assert len(hears.warnings) == 2 and "3 at a time" in hears.warnings[0] and "1 at a time" in hears.warnings[1]
    np.testing.assert_array_equal(whole.labels, parts.labels)
    np.testing.assert_allclose(parts.maps, whole.maps, atol=1e-4 * np.abs(whole.maps).max())
    np.testing.assert_allclose(parts.orientations, whole.orientations, atol=1e-5)


def test_a_failure_inside_collect_leaves_no_trace(monkeypatch):
    """Everything that takes memory comes before anything is kept."""
    small = world.simulate(n=16, count=6, snr=1.0, species=1, seed=4)
    setup = world.setup(small, iterations=1, offset_range=1.0, folds=1, threads=1)
    state = initial_state(setup)
    whole, _ = one_iteration(setup, state, Silent())
    calls, real = [], posteriors.Block

    def block(*arguments):
        calls.append(1)
        if len(calls) == 1:  # all has been computed, nothing kept
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(posteriors, "Block", block)
    parts, _ = one_iteration(setup, state, Hears())
    assert len(calls) == 3  # the one that failed, and its halves
    np.testing.assert_allclose(parts.maps, whole.maps, atol=1e-4 * np.abs(whole.maps).max())
    np.testing.assert_allclose(parts.noise, whole.noise, rtol=1e-4)


@pytest.mark.parametrize("compiled", [True, False])
def test_sums_that_are_made_in_portions_are_the_same(monkeypatch, compiled):
    if not compiled:
        without_loops(monkeypatch)
    small = world.simulate(n=16, count=12, snr=0.3, species=1, seed=4)
    setup = world.setup(small, iterations=1, offset_range=1.0, folds=2, threads=2, symmetry="C2")
    state = initial_state(setup)
    whole, _ = one_iteration(setup, state, Silent())
    stages, said = [], Silent()
    said.stage = lambda name, total=None, unit="": stages.append(name)
    monkeypatch.setattr(accumulate, "SUMS_BYTES", 100_000 if compiled else 200_000)  # of one fold at a time, or of both
    parts, _ = one_iteration(setup, state, said)
    assert stages.count("Maximisation") > 2 and stages.count("Back-rotation") == (0 if compiled else stages.count("Maximisation"))
    np.testing.assert_allclose(parts.maps, whole.maps, atol=1e-5 * np.abs(whole.maps).max())


def test_a_particle_with_very_many_poses_is_added_by_its_shifts(monkeypatch):
    without_loops(monkeypatch)  # a loop makes nothing that is as long as the poses
    small = world.simulate(n=16, count=6, snr=0.02, species=1, seed=4)
    setup = world.setup(small, iterations=1, offset_range=2.0, folds=2, threads=1)
    state = initial_state(setup)
    whole, _ = one_iteration(setup, state, Silent())
    real, added = pose_sums._add, []

    def counted(shifted, sums, particle, row, shift, gamma):
        added.append((len(set(zip(particle.tolist(), shift.tolist(), strict=True))), len(set(particle.tolist()))))
        real(shifted, sums, particle, row, shift, gamma)

    monkeypatch.setattr(pose_sums, "_add", counted)
    voxels = setup.lattice.prefix(setup.lattice.last_shell)
    monkeypatch.setattr(pose_sums, "BLOCK_BYTES", 16 * voxels * 3)
    parts, _ = one_iteration(setup, state, Silent())
    most = max(pairs for pairs, _ in added)
    assert len(added) > 12 and 3 <= most < 12 and {particles for _, particles in added} == {1}
    np.testing.assert_allclose(parts.maps, whole.maps, atol=1e-5 * np.abs(whole.maps).max())


@pytest.mark.parametrize(("most", "expected"), [(9, [[0, 1, 2, 3, 4, 5]]), (2, [[1, 3, 0, 5], [2, 4]]), (1, [[1, 3], [0, 5], [2, 4]])])
def test_pieces_hold_all_poses_of_their_shifts(most: int, expected: list[list[int]]):
    shift = np.array([4, 0, 9, 0, 9, 4], np.int32)
    assert [np.arange(6)[piece].tolist() for piece in pose_sums._pieces(shift, most)] == expected


def test_portions_hold_every_rotation_once_in_order():
    rows = np.array([1, 1, 0, 2, 1, 0, 0, 2, 0, 0])  # of sums that each of ten rotations adds to
    assert [p.tolist() for p in accumulate._portions(rows, 100)] == [[0, 1, 3, 4, 7]]
    assert [p.tolist() for p in accumulate._portions(rows, 3)] == [[0, 1], [3, 4], [7]]
    assert [p.tolist() for p in accumulate._portions(rows, 0)] == [[0, 1], [3], [4], [7]]
    assert accumulate._portions(np.zeros(3, np.int64), 3) == []


@pytest.mark.parametrize(("most", "expected"), [(100, [(0, 5)]), (5, [(0, 2), (2, 4), (4, 5)]), (1, [(0, 1), (1, 3), (3, 4), (4, 5)])])
def test_blocks_of_poses_hold_whole_particles(most: int, expected: list[tuple[int, int]]):
    counts = np.array([2, 0, 4, 1, 5])
    found = [(each.start, each.stop) for each in pose_sums._whole_particles(counts, most)]
    assert sum(stop - start for start, stop in found) == len(counts)
    assert [counts[a:b].sum() for a, b in found] == [counts[a:b].sum() for a, b in expected]
    assert list(pose_sums._whole_particles(np.zeros(2, np.int64), most)) == []


def test_rows_of_some_particles_are_those_of_their_poses():
    start, none = np.array([0, 2, 2, 5, 6]), np.zeros(6, np.int32)
    poses = posteriors.Poses(
        start, none, np.array([0, 0, 1, 0, 1, 0], np.int32), np.array([1, 2, 0, 2, 2, 1], np.int32), none.astype(np.float32)
    )
    assert poses.rows_of(np.array([0, 2, 3])).tolist() == [0, 1, 2, 3, 4, 5]
    assert poses.rows_of(np.array([1])).tolist() == []
    assert poses.rows_of(np.array([3, 0])).tolist() == [5, 0, 1]
    assert pose_sums.marked(poses, np.array([2, 3]), 3, 2).tolist() == [[False, True, True], [True, False, True]]
