"""``napari-subtomo demo [DIR]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from napari_subtomo.cli.parser import add_talk, model_parser, parse
from napari_subtomo.options.demo import DemoOptions

if TYPE_CHECKING:
    from napari_subtomo.jobs.demo import Step


def run(words: list[str]) -> None:
    """Go through every job, compare with the truth, and show the result."""
    parser = model_parser("demo", "", DemoOptions, ("directory",))
    add_talk(parser)
    values, names = parse(parser, words)

    from napari_subtomo.cli.console import make_console
    from napari_subtomo.cli.open_command import pictures_of
    from napari_subtomo.jobs.demo import run_demo
    from napari_subtomo.jobs.record import validated
    from napari_subtomo.jobs.truth import compare

    options = cast(DemoOptions, validated(DemoOptions, values))
    with make_console(quiet=names._quiet) as console:
        steps = run_demo(options, console)
        console.stage("Pictures")
        pictures = pictures_of(options.directory, options.directory / "pictures")
    last = {step.job: step.result.outputs for step in steps}
    agreement = compare(last["simulate"]["truth"], last["classify"]["data"], last["remove-duplicates"]["particles"])
    if not names._quiet:
        print("\n".join([*_table(steps), "", *agreement.sentences(), "", "Kept particles:", f"  {last['remove-duplicates']['particles']}"]))
        print(
            "\n".join(["Pictures:", *(f"  {picture}" for picture in pictures), "", f"Look again: napari-subtomo open {options.directory}"])
        )
    if options.show:
        from napari_subtomo.viewer.show import display_available, open_project

        if display_available():
            open_project(options.directory)


def _table(steps: list[Step]) -> list[str]:
    """A line a step: job, time, folder, what it did."""
    lines = ["", "Step               time  what"]
    for step in steps:
        spent = "earlier" if step.reused else f"{step.seconds:.1f} s"
        summary = list(step.result.summary) or [""]
        lines.append(f"{step.job:<17}{spent:>7}  {summary[0]}")
        lines += [f"{'':<26}{line}" for line in summary[1:]]
    total = sum(step.seconds for step in steps if not step.reused)
    return [*lines, f"{'all':<17}{total:>5.0f} s"]
