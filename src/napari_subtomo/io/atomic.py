"""Files appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_subtomo.errors import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the name `path` when the block ends well and vanishes otherwise.

    Parameters
    ----------
    path : str or Path
        The file to make. Missing folders above it are made; an existing file stays until the new one is complete.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {error.strerror or error}; check that the folder exists, is writable and has space."
        ) from error
    finally:
        with suppress(OSError):  # gone, or its folder never came to be
            temporary.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as a whole (UTF-8, bytes that were not UTF-8 when read go back unchanged)."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
