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
    if not quiet:
        for picture in pictures:
            print(picture)


def pictures_of(directory: Path, folder: Path) -> list[Path]:
    """Pictures of a project without a window, written into `folder`."""
    from napari_subtomo.viewer.pictures import make_pictures

    return make_pictures(directory, folder)
