"""``napari-subtomo open DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from napari_subtomo.cli.parser import add_talk, model_parser, parse
from napari_subtomo.options.open import OpenOptions


def run(words: list[str]) -> None:
    """Show a project in napari, or write pictures of it."""
    parser = model_parser("open", "", OpenOptions, ("directory",))
    add_talk(parser)
    values, names = parse(parser, words)

    from napari_subtomo.jobs.record import validated

    show(cast(OpenOptions, validated(OpenOptions, values)), quiet=names._quiet)


def show(options: OpenOptions, *, quiet: bool = False) -> None:
    """A window where there is a display and no folder for pictures was named; the names of the pictures otherwise."""
    if options.pictures is not None:
        pictures = pictures_of(options.directory, options.pictures)
    else:
        from napari_subtomo.viewer.show import present

        pictures = present(options.directory)
    if pictures:
        _say_missing(options.directory)
    if not quiet:
        for picture in pictures:
            print(picture)


def _say_missing(directory: Path) -> None:
    """Files of the classification that is shown that are not there; a window says it itself."""
    from napari_subtomo.cli.console import make_console
    from napari_subtomo.viewer.pictures import class_job_of

    job = class_job_of(directory)
    if job is not None and job.missing:
        make_console(quiet=True).warn(f"Of {job.title} these files are not here: {', '.join(job.missing)}; the rest is shown.")


def pictures_of(directory: Path, folder: Path) -> list[Path]:
    """Pictures of a project without a window, written into `folder`."""
    from napari_subtomo.viewer.pictures import make_pictures

    return make_pictures(directory, folder)
