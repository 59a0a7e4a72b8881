"""The command of one job."""

from __future__ import annotations

import sys

from napari_subtomo.cli.parser import Parser, add_output, add_talk, model_parser, parse
from napari_subtomo.jobs.registry import JobSpec, get_job


def job_parser(spec: JobSpec) -> Parser:
    """The parser of a job's command."""
    parser = model_parser(spec.name, spec.help, spec.model, spec.positionals, spec.place)
    add_output(parser, place=spec.place, numbered=spec.folder is not None)
    add_talk(parser)
    return parser


def run(name: str, words: list[str]) -> None:
    """Parse `words`, run the job, print where the result is."""
    spec = get_job(name)
    values, names = parse(job_parser(spec), words)

    from napari_subtomo.cli.console import Print, make_console
    from napari_subtomo.jobs.record import validated
    from napari_subtomo.jobs.runner import run_job

    options = validated(spec.model, values)
    printed = spec.folder is None and not spec.place
    with Print(sys.stderr) if printed else make_console(quiet=names._quiet) as console:
        output, project = getattr(names, "_output", None), getattr(names, "_project", None)
        folder, _ = run_job(name, options, output=output, project=project, reporter=console, overwrite=getattr(names, "_overwrite", False))
    if not printed and not names._quiet:
        print(folder.path)
