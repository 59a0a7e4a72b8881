"""The record of a job: what was asked for, with what, when, and how it ended; it can be run again.

Paths are written relative to the project where they lie inside it, so that a project may move to another folder or computer.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io.atomic import write_text
from napari_subtomo.jobs.commandline import key, option_error
from napari_subtomo.jobs.events import plain
from napari_subtomo.options.base import JobOptions

RECORD = "job_record.json"
FORMAT = 1
#: distributions whose versions may change a result
PACKAGES = ("napari-subtomo", "numpy", "scipy", "scikit-image", "mrcfile", "pydantic", "cupy-cuda12x", "cupy-cuda13x")


class JobRecord(BaseModel):
    """Content of job_record.json.

    `options` holds what was given, `resolved` every option with its value. `project` leads from the job folder to the project.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    job: str
    exit_status: str = "running"
    error: str | None = None
    command_line: list[str] = Field(default_factory=list)
    project: str = "."
    options: dict[str, Any] = Field(default_factory=dict)
    resolved: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    resumed: int = 0
    outputs: dict[str, str] = Field(default_factory=dict)
    numbers: dict[str, Any] = Field(default_factory=dict)
    summary: list[str] = Field(default_factory=list)


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter for a result, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def dump_options(options: JobOptions, name: Callable[[Path], str], *, given_only: bool = False) -> dict[str, Any]:
    """The options as JSON can hold them.

    Parameters
    ----------
    options : JobOptions
    name : function
        Turns a path into the text that is stored.
    given_only : bool
        Leave out what was not given.
    """
    values = options.model_dump(by_alias=True, exclude_unset=given_only)
    dumped = plain(_map_paths(values, name))
    assert isinstance(dumped, dict)
    return dumped


def load_options(model: type[JobOptions], record: JobRecord, root: Path) -> JobOptions:
    """Options of a record, every one with the value that it had; relative paths are taken from `root`.

    Raises
    ------
    OptionError
        The stored options are not options of this version.
    """
    options = validated(model, record.resolved)
    given = {name for name, info in model.model_fields.items() if key(name, info) in record.options}
    options.__pydantic_fields_set__.intersection_update(given)  # a default stays a default when the job runs again
    return anchored(options, lambda path: path if path.is_absolute() else root / path)


def anchored(options: JobOptions, place: Callable[[Path], Path]) -> JobOptions:
    """The same options with `place` applied to every path."""
    changed = {}
    for name in type(options).model_fields:
        value = getattr(options, name)
        moved = _map_paths(value, place)
        if moved != value:
            changed[name] = moved
    given = set(options.model_fields_set)
    copy = options.model_copy(update=changed)
    copy.__pydantic_fields_set__.intersection_update(given)  # a default that was anchored is still not given
    return copy


def validated(model: type[JobOptions], values: Mapping[str, Any]) -> JobOptions:
    """An instance of `model`.

    Raises
    ------
    OptionError
        One sentence a wrong option.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise option_error(model, error) from None


def write_record(folder: Path, record: JobRecord) -> None:
    """Write job_record.json as a whole."""
    write_text(folder / RECORD, json.dumps(record.model_dump(), indent=1, ensure_ascii=False) + "\n")


def read_record(path: Path) -> JobRecord:
    """Read a record; `path` is the file or its folder.

    Raises
    ------
    FileMissingError
        There is none.
    FileFormatError
        The file is not a record, or one of a later version.
    """
    path = path / RECORD if path.is_dir() else path
    if not path.is_file():
        raise FileMissingError(f"Expected a job record at {path}, found none; give a job folder or its {RECORD}.")
    try:
        record = JobRecord.model_validate_json(path.read_bytes())
    except (ValidationError, InputError) as error:
        raise FileFormatError(f"Expected a job record of napari-subtomo in {path}, found something else; give a {RECORD}.") from error
    if record.format > FORMAT:
        raise FileFormatError(f"{path} was written in format {record.format} by a later version, this one reads up to {FORMAT}; update it.")
    return record


def _map_paths(value: Any, change: Callable[[Path], Any]) -> Any:
    if isinstance(value, Path):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _map_paths(item, change) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_map_paths(item, change) for item in value)
    if isinstance(value, list):
        return [_map_paths(item, change) for item in value]
    return value
