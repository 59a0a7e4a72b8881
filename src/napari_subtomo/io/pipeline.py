"""RELION's pipeline file: job numbers, the list of jobs in its GUI, files that its jobs can take as input.

`default_pipeline.star` is changed under RELION's own lock (`PipeLine::read`, `PipeLine::write` in `src/pipeliner.cpp`): whoever makes
the folder `.relion_lock` may write, puts `lock_default_pipeline.star` into it, and removes both afterwards. Jobs of other programs are
listed as type `relion.external`, so that RELION does not offer to run its own program over them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from napari_subtomo.errors import JobError
from napari_subtomo.io import relion
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star

PIPELINE_FILE = "default_pipeline.star"
LOCK_FOLDER = ".relion_lock"
LOCK_FILE = "lock_default_pipeline.star"
CHANGED_FILE = ".pipeline_has_changed"
NODES_FOLDER = ".Nodes"
EXTERNAL = "relion.external"
LOCK_TIMEOUT = 120.0
"""Seconds that RELION waits for its lock."""

Status = Literal["Running", "Scheduled", "Succeeded", "Failed", "Aborted"]

_NODE_LABELS = (
    (r"optimisation_set\.star$", "TomoOptimisationSet.star.relion"),
    (r"^tomograms\.star$", "TomogramGroupMetadata.star.relion"),
    (r"^motion\.star$", "TomoTrajectoryData.star.relion"),
    (r"(^particles.*|_data)\.star$", "ParticleGroupMetadata.star.relion"),
    (r"_optimiser\.star$", "OptimiserData.star.relion.class3d"),
    (r"(^|_)half[12].*\.mrc$", "DensityMap.mrc.halfmap"),
    (r"mask.*\.mrc$", "Mask3D.mrc.relion"),
    (r"\.mrc$", "DensityMap.mrc.relion"),
    (r"\.pdf$", "LogFile.pdf.relion"),
)
_TABLES: Mapping[str, tuple[str, ...]] = {
    relion.PIPELINE_PROCESSES: (relion.PROCESS_NAME, relion.PROCESS_ALIAS, relion.PROCESS_TYPE_LABEL, relion.PROCESS_STATUS_LABEL),
    relion.PIPELINE_NODES: (relion.NODE_NAME, relion.NODE_TYPE_LABEL, relion.NODE_TYPE_LABEL_DEPTH),
    relion.PIPELINE_INPUT_EDGES: (relion.EDGE_FROM_NODE, relion.EDGE_PROCESS),
    relion.PIPELINE_OUTPUT_EDGES: (relion.EDGE_PROCESS, relion.EDGE_TO_NODE),
}


def node_label(name: str) -> str | None:
    """RELION's type of a file by its name; None for files that are no input of any job."""
    file = PurePosixPath(name).name
    return next((label for pattern, label in _NODE_LABELS if re.search(pattern, file)), None)


@contextmanager
def relion_lock(root: Path, message: str, timeout: float = LOCK_TIMEOUT, poll: float = 0.2) -> Iterator[None]:
    """Hold RELION's lock of the project `root`.

    Parameters
    ----------
    root : Path
        Project folder.
    message : str
        Text of the lock file, for whoever finds it.
    timeout, poll : float
        Seconds to wait for the lock in all and between two attempts.

    Raises
    ------
    JobError
        The lock stays taken, or the folder cannot be written.
    """
    lock = root / LOCK_FOLDER
    deadline = time.monotonic() + timeout
    while True:
        try:
            lock.mkdir(mode=0o700)
            break
        except FileExistsError:
            if time.monotonic() >= deadline:
                raise JobError(
                    f"Expected RELION's lock {lock} to be released within {timeout:g} s, found it still there; "
                    "if no RELION window or job is busy with this project, remove that folder and try again."
                ) from None
            time.sleep(poll)
        except OSError as error:
            raise JobError(f"Cannot lock RELION's pipeline in {root}: {error.strerror or error}; check permissions and space.") from error
    file = lock / LOCK_FILE
    try:
        file.write_text(message + "\n")
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.rmdir()


@dataclass
class Pipeline:
    """The content of `default_pipeline.star`; change it inside `relion_lock` only.

    Attributes
    ----------
    star : StarFile
        The file as text; what is not known here is kept.
    """

    star: StarFile

    @classmethod
    def read(cls, root: Path) -> Pipeline:
        """Read the pipeline of a project."""
        return cls(read_star(root / PIPELINE_FILE))

    def write(self, root: Path) -> None:
        """Write the pipeline and tell RELION's GUI that it changed."""
        write_star(root / PIPELINE_FILE, self.star)
        (root / CHANGED_FILE).touch()

    @property
    def counter(self) -> int:
        """Number that the next job gets."""
        general = self.star.get(relion.PIPELINE_GENERAL)
        if general is None or not general.has(relion.PIPELINE_JOB_COUNTER):
            return 1
        return int(general.ints(relion.PIPELINE_JOB_COUNTER)[0])

    @counter.setter
    def counter(self, value: int) -> None:
        general = self.star.get(relion.PIPELINE_GENERAL) or StarBlock(relion.PIPELINE_GENERAL, "list", {})
        self.star = self.star.replace(general.with_values({relion.PIPELINE_JOB_COUNTER: value}))

    @property
    def has_labels(self) -> bool:
        """Whether job types are words (RELION 4 and 5); numbers of older versions are left alone."""
        table = self.star.get(relion.PIPELINE_PROCESSES)
        return table is None or table.has(relion.PROCESS_TYPE_LABEL) or not len(table)

    def _table(self, name: str) -> StarBlock:
        table = self.star.get(name)
        if table is None or not table.labels:
            return StarBlock(name, "loop", dict.fromkeys(_TABLES[name], ()))
        return table

    def _append(self, name: str, cells: Mapping[str, str]) -> None:
        """Add a row unless the same is there; columns of other RELION versions get what they can."""
        table = self._table(name)
        known = [label for label in cells if table.has(label)]
        rows = zip(*(table.texts(label) for label in known), strict=True)
        if tuple(cells[label] for label in known) not in set(rows):
            columns = {label: (*values, cells.get(label, "None")) for label, values in table.columns.items()}
            self.star = self.star.replace(StarBlock(name, table.kind, columns, table.comments, table.notes, table.source))

    def set_job(self, name: str, status: Status) -> None:
        """List the job `name` (`Extract/job002/`) with a status, or change its status."""
        table = self._table(relion.PIPELINE_PROCESSES)
        names = table.texts(relion.PROCESS_NAME)
        if name in names:
            states = list(table.texts(relion.PROCESS_STATUS_LABEL))
            states[names.index(name)] = status
            self.star = self.star.replace(table.with_column(relion.PROCESS_STATUS_LABEL, states))
            return
        cells = {
            relion.PROCESS_NAME: name,
            relion.PROCESS_ALIAS: "None",
            relion.PROCESS_TYPE_LABEL: EXTERNAL,
            relion.PROCESS_STATUS_LABEL: status,
        }
        self._append(relion.PIPELINE_PROCESSES, cells)

    def _add_node(self, name: str) -> bool:
        """List a file; False if it is of no type that RELION knows."""
        label = node_label(name)
        if label is None:
            return False
        if name not in self._table(relion.PIPELINE_NODES).texts(relion.NODE_NAME):
            cells = {relion.NODE_NAME: name, relion.NODE_TYPE_LABEL: label, relion.NODE_TYPE_LABEL_DEPTH: "1"}
            self._append(relion.PIPELINE_NODES, cells)
        return True

    def add_inputs(self, job: str, names: Iterable[str]) -> None:
        """List files (relative to the project) that the job reads."""
        for name in names:
            if self._add_node(name):
                self._append(relion.PIPELINE_INPUT_EDGES, {relion.EDGE_FROM_NODE: name, relion.EDGE_PROCESS: job})

    def add_outputs(self, job: str, names: Iterable[str]) -> None:
        """List files (relative to the project) that the job wrote."""
        for name in names:
            if self._add_node(name):
                self._append(relion.PIPELINE_OUTPUT_EDGES, {relion.EDGE_PROCESS: job, relion.EDGE_TO_NODE: name})


def touch_nodes(root: Path, names: Iterable[str]) -> None:
    """Make the empty files by which RELION's GUI finds inputs: `.Nodes/<first word of the type>/<name>`."""
    for name in names:
        label = node_label(name)
        if label is not None and (root / name).exists():
            marker = root / NODES_FOLDER / label.split(".")[0] / name
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()


def write_job_star(folder: Path, command: str) -> None:
    """Write `job.star`, which RELION's GUI shows when the job is clicked.

    Parameters
    ----------
    folder : Path
        The job's folder.
    command : str
        The command line that ran, shown as the external executable.
    """
    inputs = ("in_mov", "in_mic", "in_part", "in_coords", "in_3dref", "in_mask")
    parameters = [f"param{i}_{part}" for i in range(1, 11) for part in ("label", "value")]
    values = dict.fromkeys((*inputs, *parameters, "other_args", "qsub", "qsubscript", "queuename"), "")
    values |= {"fn_exe": command, "nr_threads": "1", "do_queue": "No", "min_dedicated": "1"}
    job = StarBlock.list(relion.JOB, {relion.JOB_TYPE_LABEL: EXTERNAL, relion.JOB_IS_CONTINUE: 0, relion.JOB_IS_TOMO: 0})
    rows = sorted(values.items())
    options = {relion.JOB_OPTION_VARIABLE: [k for k, _ in rows], relion.JOB_OPTION_VALUE: [v for _, v in rows]}
    write_star(folder / "job.star", [job, StarBlock.loop(relion.JOB_OPTIONS_VALUES, options)])


def write_job_pipeline(folder: Path, job: str, status: Status, inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Write `job_pipeline.star`, the part of the pipeline that is about one job, as RELION does."""
    blocks = [StarBlock.list(relion.PIPELINE_GENERAL, {relion.PIPELINE_JOB_COUNTER: 2})]
    pipeline = Pipeline(StarFile(tuple(blocks)))
    pipeline.set_job(job, status)
    pipeline.add_inputs(job, inputs)
    pipeline.add_outputs(job, outputs)
    write_star(folder / "job_pipeline.star", pipeline.star)
