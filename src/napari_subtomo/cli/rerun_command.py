"""``napari-subtomo rerun RECORD``."""

from __future__ import annotations

from pathlib import Path

from napari_subtomo.cli.parser import add_output, add_talk, new_parser, parse


def run(words: list[str]) -> None:
    """Run the job of a record again."""
    parser = new_parser("rerun", "Run the job of a record again with every option as it was, in a new folder of the same project.")
    parser.add_argument("_record", metavar="RECORD", type=Path, help="A job_record.json, or the job folder that holds it.")
    add_output(parser, project=False)
    add_talk(parser)
    _, names = parse(parser, words)

    from napari_subtomo.cli.console import make_console
    from napari_subtomo.jobs.runner import rerun

    with make_console(quiet=names._quiet) as console:
        folder, _ = rerun(names._record, output=names._output, reporter=console, overwrite=names._overwrite)
    if not names._quiet:
        print(folder.path)
