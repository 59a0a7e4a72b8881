"""`kill -9` in the middle of an iteration: what is on disk goes on to the result of the uninterrupted run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import em_files
from helpers.em_world import World, simulate

from napari_subtomo.em.classify import run
from napari_subtomo.io.class3d import complete_iterations
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.progress import Silent

LAST = em_files.OPTIONS["iterations"]

# A child that kills itself when `module.name` is called for the n-th time, before or in the middle of its work.
CHILD = """
import importlib, json, os, signal, sys
from pathlib import Path
from napari_subtomo.em.classify import run
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

root, folder, options, module, name, call = json.loads(sys.argv[1])
owner = importlib.import_module(module)
work, count = getattr(owner, name), 0


def deadly(*args, **kwargs):
    global count
    count += 1
    if count == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return work(*args, **kwargs)


setattr(owner, name, deadly)
run(ClassifyOptions.model_validate(options), JobFolder(Project(Path(root)), Path(folder)), Silent())
"""

# Where the third iteration is: E-step, M-step, between two files, and in the STAR write before a file has its name. Iteration 000 names
# 8 files: state, 3 maps, data, model, optimisation set, optimiser; the others have a sampling file as well, the fifth is the data.
DEATHS = [
    pytest.param("napari_subtomo.em.work", "search", 3, id="E-step"),
    pytest.param("napari_subtomo.em.work", "map_sums", 3, id="M-step"),
    pytest.param("napari_subtomo.io.class3d", "_optimiser", 4, id="before the last file"),
    pytest.param("os", "replace", 8 + 2 * 9 + 5, id="data written but not named"),
    pytest.param("os", "replace", 8 + 3 * 9, id="optimiser written but not named"),
]


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(n=16, count=24, empty=6, snr=1.0, species=2, error=5.0, seed=2, domain=2.0)


@pytest.fixture(scope="module")
def project(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    em_files.write_project(root, world)
    return root


@pytest.fixture(scope="module")
def plain(project: Path, world: World) -> JobFolder:
    return em_files.classify(project, world, "Class3D/plain")[0]


@pytest.mark.parametrize(("module", "name", "call"), DEATHS)
def test_a_killed_run_goes_on_to_the_same_result(
    plain: JobFolder, project: Path, world: World, request: pytest.FixtureRequest, module: str, name: str, call: int
) -> None:
    folder = em_files.job_folder(project, f"Class3D/dead{request.node.callspec.id.replace(' ', '_')}")
    options = em_files.options_for(project, world)
    words = json.dumps([str(project), str(folder.path), options.model_dump(mode="json"), module, name, call])
    dead = subprocess.run([sys.executable, "-c", CHILD, words], capture_output=True, text=True, timeout=120, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    assert complete_iterations(folder.path) == list(range(3))
    for iteration in range(3):  # what is called whole can be read
        assert len(read_particles(folder.file(f"run_it{iteration:03d}_data.star"))) == len(world.particles)
    left = list(folder.path.glob(".*.tmp"))
    assert len(left) == (name == "replace")
    run(options, folder, Silent())
    assert not list(folder.path.glob(".*.tmp"))
    assert complete_iterations(folder.path) == list(range(LAST + 1))
    for path in sorted(plain.path.glob("*.star")):
        ours = folder.file(path.name).read_text().replace(folder.path.name, "plain")
        keep = [line for line in ours.splitlines() if "Seconds" not in line]
        assert keep == [line for line in path.read_text().splitlines() if "Seconds" not in line], path.name
    for path in plain.path.glob("*.mrc"):
        np.testing.assert_array_equal(read_mrc(folder.file(path.name)), read_mrc(path))
