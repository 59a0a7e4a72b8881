"""Going on with an extraction that was stopped: which files are there, whole, and made with equal options."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.atomic import write_text
from napari_subtomo.io.mrc import mrc_header


def complete(paths: Sequence[Path], shapes: Sequence[tuple[int, int, int]]) -> bool:
    """Whether these files are whole volumes or stacks of these shapes (z, y, x)."""
    try:
        return all(mrc_header(path).shape == shape for path, shape in zip(paths, shapes, strict=True))
    except SubtomoError:
        return False


def is_current(record: Path, fingerprint: str, files: Sequence[Path]) -> bool:
    """Whether files were made with the options of this fingerprint; else they are removed, and the record is written anew.

    What a killed run left half written is removed in any case.

    Parameters
    ----------
    record : Path
        Holds the fingerprint of the files.
    fingerprint : str
    files : sequence of Path
        All that options of any kind may have written.
    """
    for folder in {path.parent for path in files}:
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
    text = json.dumps({"fingerprint": fingerprint})
    if record.is_file() and record.read_text() == text:
        return True
    for path in files:
        path.unlink(missing_ok=True)
    write_text(record, text)
    return False
