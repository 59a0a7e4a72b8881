"""The verdicts of a check of an extraction, read from its job folder, and which check belongs to which extraction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_subtomo.check.report import JSON
from napari_subtomo.check.verdict import CANNOT, FAIL, PASS
from napari_subtomo.errors import FileFormatError, FileMissingError
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.prefill import jobs_of
from napari_subtomo.viewer.results.pictures import job_title

FOLDER = "Check"
#: Sign and colour of each verdict; the words stand beside them.
MARKS: dict[str, tuple[str, str]] = {PASS: ("✔", "#009E73"), FAIL: ("✖", "#D55E00"), CANNOT: ("?", "#9A9A9A")}


@dataclass(frozen=True)
class CheckRow:
    """One check.

    Attributes
    ----------
    name, title, verdict, sentence, rule : str
        As in checks.json.
    picture : Path or None
    """

    name: str
    title: str
    verdict: str
    sentence: str
    rule: str
    picture: Path | None


@dataclass(frozen=True)
class ChecksResult:
    """All verdicts.

    Attributes
    ----------
    title : str
        The job.
    headline : str
        How many passed, failed, cannot tell.
    rows : tuple of CheckRow
    """

    title: str
    headline: str
    rows: tuple[CheckRow, ...]


def read_checks(folder: Path, project: Project, reporter: Reporter) -> ChecksResult:
    """Read the verdicts of a job folder.

    Raises
    ------
    FileMissingError, FileFormatError
        There are none, or they are no verdicts.
    """
    content = _content(folder)
    try:
        rows = tuple(_row(folder, one) for one in content["checks"])
        n = int(content["particles"])
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"Expected verdicts of check-extraction in {folder / JSON}, found something else; check again.") from error
    counts = {status: sum(row.verdict == status for row in rows) for status in MARKS}
    headline = f"{counts[PASS]} passed, {counts[FAIL]} failed, {counts[CANNOT]} cannot tell ({n} particles)"
    return ChecksResult(job_title(folder, project), headline, rows)


def check_of(extraction: Path, project: Project) -> Path | None:
    """The folder of the newest finished check of the particles of an extraction; None if there is none."""
    for folder in jobs_of(project, FOLDER):
        try:
            checked = _content(folder).get("particle_set")
        except (FileMissingError, FileFormatError):
            continue
        if isinstance(checked, str) and project.resolve(checked).parent == extraction:
            return folder
    return None


def _content(folder: Path) -> dict[str, Any]:
    path = folder / JSON
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileMissingError(f"Expected the verdicts of a check in {path}, found none; the job may not be finished.") from None
    except (OSError, ValueError) as error:
        raise FileFormatError(f"Expected verdicts of check-extraction in {path}, found something else; check again.") from error
    if not isinstance(content, dict):
        raise FileFormatError(f"Expected verdicts of check-extraction in {path}, found something else; check again.")
    return content


def _row(folder: Path, one: Mapping[str, Any]) -> CheckRow:
    name, title, verdict, sentence, rule = (str(one[key]) for key in ("name", "title", "verdict", "sentence", "rule"))
    return CheckRow(name, title, verdict, sentence, rule, _picture(folder, one.get("picture")))


def _picture(folder: Path, name: Any) -> Path | None:
    """The picture of a check, by its plain name in the folder."""
    if not isinstance(name, str) or PurePosixPath(name).name != name:
        return None
    path = folder / name
    return path if path.is_file() else None
