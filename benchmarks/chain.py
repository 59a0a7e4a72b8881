"""The chain of commands from an empty folder to kept particles, each in its own process; time and memory of each are measured."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PROGRAM = "napari-subtomo"
CLASSES = 3
MIN_DISTANCE = 100
#: the command of the README, as it stands there
CLASSIFY = (
    "--optimisation-set Extract/job002/optimisation_set.star --reference Reconstruct/job003/merged.mrc --classes 3 --iterations 15 "
    "--mask-diameter 380 --initial-lowpass 60 --symmetry C1 --angular-step 7.5 --local-range 15 --offset-range 3 --offset-step 1 "
    "--no-stop-when-converged --threads 2"
)
#: parts of the package that results depend on
COMPUTING = (
    "numerics",
    "geometry",
    "data",
    "options",
    "io",
    "simulate",
    "extract",
    "tilts",
    "reconstruct",
    "em",
    "select",
    "duplicates.py",
)


@dataclass(frozen=True)
class Measured:
    """A step that was run.

    Attributes
    ----------
    command : str
        As typed.
    code : str
        Fingerprint of the code that ran.
    seconds, cpu_seconds : float
        By the clock, and of all processors together.
    peak_mb : float
        Largest resident memory of the process, MiB.
    load : float
        Mean number of running programs in the minute before; with more than the machine has processors, `seconds` are too many.
    """

    command: str
    code: str
    seconds: float
    cpu_seconds: float
    peak_mb: float
    load: float


def fingerprint() -> str:
    """A few digits that change whenever the computing parts of the package do."""
    import napari_subtomo

    root, digest = Path(napari_subtomo.__file__).parent, hashlib.sha256()
    for name in COMPUTING:
        part = root / name
        for path in sorted(part.rglob("*.py")) if part.is_dir() else [part]:
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


class Chain:
    """The steps of one seed; what is finished with the same command and the same code is not done again.

    Parameters
    ----------
    project : Path
        Folder of the simulated project; logs and measurements go beside it.
    code : str
        From `fingerprint`.
    """

    def __init__(self, project: Path, code: str) -> None:
        self.project, self.code = project, code
        self.steps: dict[str, Measured] = {}
        self._redo = False

    def step(self, name: str, words: Sequence[str], output: str = "") -> None:
        """Run ``napari-subtomo words``; with `output` inside the project and into this folder of it."""
        words = [*words, "-o", output] if output else list(words)
        command = f"{PROGRAM} {' '.join(words)}"
        stem = f"{self.project.name}-{name}" if not output else f"{self.project.name}-{output.replace('/', '-')}"
        notes, log = self.project.parent / f"{stem}.json", self.project.parent / f"{stem}.log"
        former = _read(notes)
        if former and former.command == command and former.code == self.code and not self._redo and (self.project / output).is_dir():
            self.steps[name] = former
            return
        self._redo = True
        notes.unlink(missing_ok=True)
        shutil.rmtree(self.project / output, ignore_errors=True)
        print(f"  {command}", flush=True)
        cwd = self.project if output else self.project.parent
        cwd.mkdir(parents=True, exist_ok=True)
        self.steps[name] = measured = measure(command, words, cwd, log, self.code)
        notes.write_text(json.dumps(asdict(measured), indent=1) + "\n")


def _read(notes: Path) -> Measured | None:
    try:
        return Measured(**json.loads(notes.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def measure(
    command: str,
    words: Sequence[str],
    cwd: Path,
    log: Path,
    code: str,
    program: Sequence[str] = (sys.executable, "-m", "napari_subtomo.cli.main"),
    environment: Mapping[str, str] | None = None,
    started: Callable[[int], None] | None = None,
) -> Measured:
    """Run a command, this package's or another program's, and measure it (POSIX only); stop here if it fails.

    `started` is told the number of the process.
    """
    load = os.getloadavg()[0]
    with log.open("wb") as stream:
        begun = time.monotonic()
        process = subprocess.Popen([*program, *words], cwd=cwd, stdout=stream, stderr=stream, env=environment)
        if started is not None:
            started(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} in {cwd} ended with status {process.returncode}; its last lines:\n{log.read_text()[-2000:]}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Measured(
        command, code, round(seconds, 1), round(usage.ru_utime + usage.ru_stime, 1), round(usage.ru_maxrss / unit), round(load, 1)
    )


def run_chain(
    project: Path, seed: int, sample: Sequence[str], name: str, classify: Sequence[str], code: str
) -> tuple[Chain, tuple[int, ...], Path, Path | None]:
    """All steps for one seed.

    Parameters
    ----------
    project : Path
    seed : int
        Of the sample.
    sample, classify : sequence of str
        Further options of `simulate` and `classify`.
    name : str
        Of the result; different ones share everything up to the average.
    code : str

    Returns
    -------
    chain : Chain
    keep : tuple of int
        Classes that `select --auto` keeps.
    classified : Path
        Folder of the classification.
    kept : Path or None
        particles.star after selection and removal of duplicates; None when no class is kept.
    """
    from napari_subtomo.jobs.record import read_record

    chain = Chain(project, code)
    chain.step("simulate", ["simulate", project.name, "--seed", str(seed), *sample])
    inputs = "--tomograms tomograms.star --particles particles.star"
    box = "--box-size 64 --crop-size 48 --binning 1"
    chain.step("extract", ["extract", *inputs.split(), *box.split()], "Extract/job002")
    chain.step("reconstruct", ["reconstruct", "--optimisation-set", "Extract/job002/optimisation_set.star"], "Reconstruct/job003")
    jobs = ("job004", "job005", "job006") if name == "default" else (name, name, f"{name}-distinct")
    classified, selected, distinct = (f"{kind}/{job}" for kind, job in zip(("Class3D", "Select", "Select"), jobs, strict=True))
    chain.step("classify", ["classify", *CLASSIFY.split(), *classify], classified)
    record = read_record(project / classified)
    optimiser = record.outputs["optimiser"]
    keep = proposed(project / optimiser, project)
    if not keep:
        return chain, keep, project / classified, None
    chain.step("select", ["select", "--optimiser", optimiser, "--keep", *map(str, keep)], selected)
    particles = f"{selected}/particles.star"
    chain.step("remove-duplicates", ["remove-duplicates", "--particles", particles, "--min-distance", str(MIN_DISTANCE)], distinct)
    return chain, keep, project / classified, project / distinct / "particles.star"


def proposed(optimiser: Path, project: Path) -> tuple[int, ...]:
    """Classes that `select --auto` keeps, of this package's classification or of RELION's."""
    from napari_subtomo.io.class_files import read_classes
    from napari_subtomo.io.project import Project
    from napari_subtomo.select.auto import proposals_of

    place = Project(project)
    return tuple(one.number for one in proposals_of(read_classes(optimiser, place), place) if one.keep)
