"""Classifications whose references an outside program makes: the same classes, and what is said and left when it goes wrong."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import em_files
from helpers import em_world as world_of
from helpers.em_world import World, simulate

from napari_subtomo.em.external import BLUSH, External, external_of
from napari_subtomo.em.stability import part_of
from napari_subtomo.errors import FileMissingError, JobCancelled, JobError, OptionError
from napari_subtomo.io import relion as r
from napari_subtomo.io.class3d import complete_iterations
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import read_star
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

LAST = em_files.OPTIONS["iterations"]
FEW = {"folds": 2}

READ = """
import os, subprocess, sys, time
import mrcfile, numpy as np
value = {w[0]: w[1] for w in map(str.split, open(sys.argv[-1])) if len(w) == 2 and w[0].startswith("_rln")}
def write(volume):
    with mrcfile.new(value["_rlnExtReconsResult"]) as file:
        file.set_data(volume)
"""
BROKEN = {
    "fails": ("print('no such device')\nsys.exit(3)", r"found exit status 3 of .*program\.py .*_it001_class001_.*\(no such device\)"),
    "is killed": ("os.kill(os.getpid(), 9)", "found exit status -9"),
    "writes nothing": ("pass", "Expected the MRC file .*found nothing there.*program"),
    "another size": ("write(np.zeros((4, 4, 6), np.float32))", "Expected a map of 16 x 16 x 16 voxels in .*, found 4 x 4 x 6"),
    "not finite": ("write(np.full((16, 16, 16), np.nan, np.float32))", "Expected finite values .* found 4096 NaN"),
    "no map": ("open(value['_rlnExtReconsResult'], 'w').write('map')", "Expected an MRC header"),
}


@pytest.fixture(scope="module")
def world() -> World:
    return em_files.partly_known()


@pytest.fixture(scope="module")
def project(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    em_files.write_project(root, world)
    return root


@pytest.fixture(scope="module")
def divided(project: Path, world: World, tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """A classification whose references come from a program that divides and does nothing else."""
    command = em_files.dividing_program(tmp_path_factory.mktemp("program"))
    return em_files.classify(project, world, "Class3D/divided", external_reconstruct=command, **FEW)[0]


def labels(folder: JobFolder, iteration: int = LAST) -> np.ndarray:
    return read_particles(folder.file(f"run_it{iteration:03d}_data.star")).class_numbers


def flags(folder: JobFolder) -> tuple[str, ...]:
    block = read_star(folder.file(f"run_it{LAST:03d}_optimiser.star"))[r.OPTIMISER_GENERAL]
    return block.texts(r.DO_EXTERNAL_RECONSTRUCT) + block.texts(r.DO_BLUSH)


def left(folder: JobFolder) -> list[str]:
    """Tails of the files of an external reconstruction, without the maps that stay."""
    return sorted({p.name.split("external_reconstruct")[1] for p in folder.path.glob("*external_reconstruct*")} - {".mrc"})


def test_a_program_that_divides_leads_to_the_same_classes(project: Path, world: World, divided: JobFolder) -> None:
    plain, _ = em_files.classify(project, world, "Class3D/plain", **FEW)
    assert np.array_equal(labels(divided), labels(plain))
    for number in (1, 2):
        name = f"run_it{LAST:03d}_class{number:03d}.mrc"
        ours, theirs = read_mrc(plain.file(name)), read_mrc(divided.file(name))
        assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.01 * ours.std()
    assert flags(plain) == ("0", "0") and flags(divided) == ("1", "0")


def test_without_alignment_too(project: Path, world: World, tmp_path: Path) -> None:
    command = em_files.dividing_program(tmp_path)
    fixed = {**FEW, "align": False, "iterations": 3, "consensus_iterations": 1}
    plain, _ = em_files.classify(project, world, "Class3D/fixed", **fixed)
    folder, _ = em_files.classify(project, world, "Class3D/fixed_divided", external_reconstruct=command, **fixed)
    assert np.array_equal(labels(folder, 3), labels(plain, 3))


def test_its_words_are_in_the_log_and_its_files_are_gone(divided: JobFolder) -> None:
    log = divided.file("run.out").read_text()
    # two iterations with a common class, two with two classes; two folds
    assert log.count("_external_reconstruct.star") == 2 * 2 + 2 * 4
    assert left(divided) == []
    assert divided.file(f"run_it{LAST:03d}_class002_external_reconstruct.mrc").is_file()


@pytest.mark.parametrize("case", BROKEN)
def test_a_program_that_goes_wrong_ends_the_job_with_what_was_run_and_where_its_files_are(
    project: Path, world: World, tmp_path: Path, case: str
) -> None:
    text, sentence = BROKEN[case]
    name = f"Class3D/{tmp_path.name}"
    with pytest.raises(JobError, match=sentence) as caught:
        em_files.classify(project, world, name, external_reconstruct=em_files.program(tmp_path, READ + text))
    folder = em_files.job_folder(project, name)
    assert str(tmp_path / "program.py") in str(caught.value) and f"{name}/run.out" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {".star", ".out", "_weight.mrc"} <= set(left(folder))
    assert "program.py" in folder.file("run.out").read_text()
    assert complete_iterations(folder.path) == [0]


class Stops(Silent):
    """Asks for a stop when a file is there."""

    def __init__(self, started: Path) -> None:
        self.started = started

    def check(self) -> None:
        if self.started.exists():
            raise JobCancelled("stopped")


def test_a_cancelled_job_kills_the_program_and_goes_on_where_it_was(
    project: Path, world: World, tmp_path: Path, divided: JobFolder
) -> None:
    started = tmp_path / "started"
    command = em_files.dividing_program(tmp_path)
    path = Path(shlex.split(command)[1])
    divides = path.read_text()
    child = f"[{sys.executable!r}, '-c', 'import time; time.sleep(60)']"
    waits = f"child = subprocess.Popen({child})\nopen({str(started)!r} + '.new', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
    waits += f"os.rename({str(started)!r} + '.new', {str(started)!r})\ntime.sleep(60)\n"
    path.write_text(f"{READ}\nif '_it003_class002' in sys.argv[-1]:\n" + "".join(f"    {line}\n" for line in waits.splitlines()) + divides)
    began = time.monotonic()
    name = f"Class3D/{tmp_path.name}"
    with pytest.raises(JobCancelled):
        em_files.classify(project, world, name, Stops(started), external_reconstruct=command, **FEW)
    assert time.monotonic() - began < 55
    folder = em_files.job_folder(project, name)
    assert complete_iterations(folder.path) == [0, 1, 2] and left(folder) == []
    for number in started.read_text().split():
        assert not alive(int(number))
    path.write_text(divides)
    em_files.classify(project, world, name, external_reconstruct=command, **FEW)
    data = f"run_it{LAST:03d}_data.star"
    assert folder.file(data).read_text().replace(name, "JOB") == divided.file(data).read_text().replace("Class3D/divided", "JOB")


def alive(pid: int) -> bool:
    """Whether a process runs, within a moment in which a killed one may still be listed."""
    for _ in range(50):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return False
        time.sleep(0.1)
    return True


def options(project: Path, world: World, **changed: object) -> ClassifyOptions:
    return em_files.options_for(project, world, **changed)


def test_blush_without_relion_5_says_what_to_do_as_the_page_has_it(
    project: Path, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileMissingError) as caught:
        em_files.classify(project, world, "Class3D/blushless", blush=True)
    assert f"> {caught.value}\n" in em_files.PAGE.read_text(encoding="utf-8")
    assert list((project / "Class3D/blushless").iterdir()) == []


def test_blush_is_relions_program_on_the_path(project: Path, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    command = em_files.dividing_program(tmp_path)
    blush = tmp_path / BLUSH
    blush.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    blush.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    folder, _ = em_files.classify(project, world, "Class3D/blush", blush=True, shrink_to="own", **FEW)
    assert flags(folder) == ("0", "1")
    assert f"+ {blush} Class3D/blush/run_it001_class001" in folder.file("run.out").read_text()
    on_gpu = external_of(options(project, world, blush=True, device="cuda:1"), folder)
    assert on_gpu is not None and on_gpu.words == (str(blush), "--gpu", "1")
    on_two = external_of(options(project, world, blush=True, device="cuda:0,cuda:2"), folder)
    assert on_two is not None and on_two.words == (str(blush), "--gpu", "0,2")


def test_a_program_that_is_not_there_is_named(project: Path, world: World) -> None:
    folder = em_files.job_folder(project, "Class3D/none")
    with pytest.raises(FileMissingError, match=r"Expected the program no-such-program of --external-reconstruct"):
        external_of(options(project, world, external_reconstruct="no-such-program --fast"), folder)
    with pytest.raises(OptionError, match="close the quote"):
        external_of(options(project, world, external_reconstruct="program 'a"), folder)
    assert external_of(options(project, world, external_reconstruct="  "), folder) is None
    with pytest.raises(ValueError, match="leave one of them out"):
        options(project, world, external_reconstruct="program", blush=True)


def test_a_program_in_the_project_is_found(project: Path, world: World) -> None:
    program = project / "denoise.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = external_of(options(project, world, external_reconstruct="./denoise.sh -x"), em_files.job_folder(project, "Class3D/none"))
    assert found is not None and found.words == (str(project / "denoise.sh"), "-x")


def test_repeats_leave_the_maps_of_the_job_alone(tmp_path: Path) -> None:
    setup = world_of.setup(simulate(n=16, count=8), classes=1)
    external = External(("program",), em_files.job_folder(tmp_path), 100.0)
    part = part_of(replace(setup, external=external), np.arange(4), 3)
    assert external.keep and part.external == replace(external, keep=False)
