"""What a job needs is foretold, said before it begins, and true."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import em_world as world
from threadpoolctl import threadpool_info, threadpool_limits

from napari_subtomo.em import classify, engine, expectation, memory, posteriors, stored_poses, work
from napari_subtomo.em.memory import needs, streams, where_held
from napari_subtomo.errors import OptionError
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.numerics import backend
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

#: a job in a process of its own; prints what was foretold and the most memory that it really had, files (libraries) not counted
JOB = """
import sys
from pathlib import Path
sys.path.insert(0, {helpers!r})
import starfile  # a job has read its particles
from helpers import em_world as world
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.memory import needs
from napari_subtomo.progress import Silent
small = world.simulate(n=32, count=60, snr=1.0, species=2, seed=3)
setup = world.setup(small, **{options!r})
state = initial_state(setup)
for _ in range(2):
    state, _ = one_iteration(setup, state, Silent())
foretold = needs(setup.options, 60, 32, world.PIXEL, last_resolution=320 / (state.last_shell - 1))
rows = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
kilobytes = {{name: int(rows[name].split()[0]) for name in ("VmHWM", "RssFile", "RssShmem")}}
print(foretold.peak, 1024 * (kilobytes["VmHWM"] - kilobytes["RssFile"] - kilobytes["RssShmem"]))
"""


class Hears(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said, self.warned = [], []

    def message(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)


def options(**given):
    return ClassifyOptions(**{"reference": Path("a.mrc"), "mask_diameter": 300.0, "local_range": 15.0, "classes": 2, **given})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("given", [{"classes": 2, "threads": 2, "start": "random"}, {"classes": 1, "threads": 1, "folds": 1}])
def test_a_job_takes_the_memory_that_was_foretold(given):
    text = JOB.format(helpers=str(Path(__file__).parents[1]), options={**given, "offset_range": 3.0, "iterations": 2})
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    foretold, measured = map(float, done.stdout.split())
    assert foretold == pytest.approx(measured, rel=0.15)


def test_half_of_the_bytes_are_needed_on_disk_and_next_to_none_in_memory():
    whole, streamed = (needs(options(), 20_000, 64, 5.0, streamed=s, last_resolution=20.0) for s in (False, True))
    assert streamed.scratch == whole.particles / 2 and whole.scratch == 0
    assert streamed.particles < whole.particles / 500
    assert streamed.working == whole.working
    unmasked = needs(options(mask_particles=False), 20_000, 64, 5.0)
    assert unmasked.particles == 0.6 * whole.particles


def test_particles_are_streamed_where_they_do_not_fit():
    plenty, little = 1e12, 5e9
    need = needs(options(), 20_000, 64, 5.0)
    assert [streams(options(), need, free) for free in (plenty, little, None)] == [False, True, False]
    assert streams(options(preread="no"), need, plenty) and not streams(options(preread="yes"), need, little)


def test_the_log_says_what_is_needed_of_what_there_is(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 24e9)
    hears = Hears()
    assert where_held(options(), 3000, 64, 5.0, 20.0, tmp_path, hears) is None
    assert (
        hears.said[0].startswith("Needs about ") and " of 24.0 GB of memory, 4.9 GB of it for the particles." in hears.said[0]
    )  # 1.2 GB: a twentieth
    assert where_held(options(), 30_000, 64, 5.0, 20.0, tmp_path, hears) == tmp_path / "particles"
    assert "particles are streamed from 18.7 GB of scratch space." in hears.said[1] and not hears.warned
    with pytest.raises(OptionError, match=r"Expected 37.4 GB of memory for the particles, found 24.0 GB free; use --preread auto"):
        where_held(options(preread="yes"), 30_000, 64, 5.0, 20.0, tmp_path, hears)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 3e8)
    where_held(options(), 30_000, 64, 5.0, 20.0, tmp_path, hears)
    assert "More memory may be needed than is free: use a larger binning" in hears.warned[0]


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_containers_count(tmp_path, version):
    names = ("memory.max", "memory.current", "active_file") if version == 2 else None
    names = names or ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file")
    top = tmp_path / "cgroup" if version == 2 else tmp_path / "cgroup" / "memory"
    (tmp_path / "own").write_text("0::/batch/job\n" if version == 2 else "9:cpu:/\n4:memory:/batch/job\n0::/\n")
    for folder, most in ((top / "batch", "8000"), (top / "batch" / "job", "max" if version == 2 else str(2**63 - 4096))):
        folder.mkdir(parents=True)
        (folder / names[0]).write_text(most + "\n")
        (folder / names[1]).write_text("5000\n")
        (folder / "memory.stat").write_text(f"anon 3000\n{names[2]} 1500\n")
    assert min(backend._left_in_groups(str(tmp_path / "cgroup"), str(tmp_path / "own"))) == 8000 - 5000 + 1500
    assert backend._left_in_groups(str(tmp_path / "none"), str(tmp_path / "own")) == []
    assert backend._left_in_groups(str(tmp_path / "cgroup"), str(tmp_path / "none")) == []


def test_no_more_threads_work_than_were_asked_for(monkeypatch, tmp_path):
    """BLAS, which takes all processors unless told otherwise, gets one thread wherever there are threads of our own.

    A single fold of particles that are not aligned is one product: there are none.
    """
    seen = {}

    def counted(name, result):
        def called(*arguments, **named):
            seen[name] = {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}
            return result(*arguments)

        return called

    def iterations_of(folds, align=True):
        seen.clear()
        small = world.simulate(n=16, count=6, snr=1.0, species=1, seed=4)
        setup = world.setup(small, iterations=1, offset_range=1.0, folds=folds, threads=2, align=align)
        monkeypatch.setattr(classify, "resolve_inputs", lambda *_: ((), None, None))
        monkeypatch.setattr(classify, "input_paths", lambda *_: (None, None, None))
        monkeypatch.setattr(classify, "write_iteration", lambda *_: None)
        monkeypatch.setattr(classify, "set_up", counted("set_up", lambda *_: setup))
        monkeypatch.setattr(classify, "initial_state", counted("start", engine.initial_state))
        monkeypatch.setattr(work, "search", counted("search", expectation.search))
        monkeypatch.setattr(work, "iterate_stored", counted("search", stored_poses.iterate_stored))
        with threadpool_limits(limits=3, user_api="blas"):
            classify.run(setup.options, JobFolder(Project(tmp_path), tmp_path / f"job{folds}{align}"), Silent())
        return dict(seen)

    for name in ("job2True", "job1True", "job1False"):
        (tmp_path / name).mkdir()
    assert iterations_of(2) == {"set_up": {1}, "start": {1}, "search": {1}}
    assert iterations_of(1) == {"set_up": {1}, "start": {1}, "search": {1}}
    assert iterations_of(1, align=False) == {"set_up": {1}, "start": {1}, "search": {2}}


def test_poses_that_hold_nothing_are_not_remembered(monkeypatch):
    rng = np.random.default_rng(5)
    log = rng.normal(0, 3, (2, 40, 2, 100)).astype(np.float32)
    log[1, 3, 1, 7] = 40  # one pose holds all
    kept = {}
    for tail in (0.0, posteriors.TAIL):
        monkeypatch.setattr(posteriors, "TAIL", tail)
        running, best, found = np.full((2, 2), -np.inf), np.full(2, -np.inf), []
        posteriors.collect(log, np.arange(2), 0, running, best, found)
        joined = posteriors._joined(found, 2)
        kept[tail] = [joined.of(i) for i in range(2)]
        for i, poses in enumerate(kept[tail]):
            held, every = (np.exp(values.astype(float) - best[i]).sum() for values in (poses.score, log[i].ravel()))
            assert held / every > 1 - 2e-4
            np.testing.assert_array_equal(poses.score, log[i, poses.shift, poses.klass, poses.rotation])
    broad, sharp = ([len(kept[tail][i].score) for tail in (0.0, posteriors.TAIL)] for i in range(2))
    assert broad[1] < 0.85 * broad[0] and sharp[0] == sharp[1] == 1
    lost = set(zip(*(getattr(kept[0.0][0], n) for n in ("shift", "klass", "rotation")), strict=True))
    assert lost >= set(zip(*(getattr(kept[posteriors.TAIL][0], n) for n in ("shift", "klass", "rotation")), strict=True))


def test_poses_found_in_several_passes_are_put_together_best_first():
    rng = np.random.default_rng(6)
    found, every = [], []
    blocks = {0: [np.arange(3)], 10: [np.arange(1), np.arange(1, 3)]}  # two passes, by their first rotations
    for first, of_pass in blocks.items():
        for ids in of_pass:
            particle = np.repeat(ids, rng.integers(1, 40, len(ids)))
            score = rng.normal(0, 3, len(particle)).astype(np.float32)
            order = np.lexsort((-score, particle))
            shift, klass, rotation = rng.integers(0, 10, (3, len(particle))).astype(np.int32)
            found.append(posteriors.Block(particle, shift, klass, rotation + np.int32(first), score[order]))
            every += zip(particle, -score[order], shift, klass, rotation + first, strict=True)
    joined = posteriors._joined(found, 3)
    assert not found, "blocks are held twice"
    expected = np.array(sorted(every))
    np.testing.assert_array_equal(joined.particle, expected[:, 0])
    np.testing.assert_array_equal(joined.score, -expected[:, 1].astype(np.float32))
    for i, values in enumerate((joined.shift, joined.klass, joined.rotation), 2):
        np.testing.assert_array_equal(values, expected[:, i])
    first = joined.particles(slice(1, 3))
    np.testing.assert_array_equal(first, joined.particle[joined.start[1] :])
