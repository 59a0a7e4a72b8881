"""What a job looks like on a terminal, in a log file, and in a pipe."""

from __future__ import annotations

import io

import pytest

from napari_subtomo.cli.console import Bars, Lines, Quiet, duration, make_console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(console: Bars | Lines | Quiet) -> None:
    with console:
        console.stage("Counting [red]sheep[/red]", 4, "sheep")
        for _ in range(4):
            console.advance()
        console.message("Half [bold]way[/bold]")
        console.stage("Sleeping")
        console.event("iteration", iteration=1, of=3, seconds=90.0)
        console.warn("Careful.")


def test_durations_read_like_a_clock() -> None:
    assert [duration(seconds) for seconds in (0.4, 75, 3599.6, 3700)] == ["0:00", "1:15", "1:00:00", "1:01:40"]


def test_the_kind_of_console_follows_the_stream() -> None:
    assert isinstance(make_console(stream=Terminal()), Bars)
    assert isinstance(make_console(stream=io.StringIO()), Lines)
    assert type(make_console(stream=Terminal(), quiet=True)) is Quiet


def test_lines_are_for_files() -> None:
    stream = io.StringIO()
    work(Lines(stream, interval=0.0))
    assert stream.getvalue().splitlines() == [
        "Counting [red]sheep[/red] (4 sheep) ...",
        "Counting [red]sheep[/red]: 20 % (1/4), about 0:00 left",
        "Counting [red]sheep[/red]: 50 % (2/4), about 0:00 left",
        "Counting [red]sheep[/red]: 70 % (3/4), about 0:00 left",
        "Counting [red]sheep[/red]: 100 % (4/4), 0:00 spent",
        "Half [bold]way[/bold]",
        "Sleeping ...",
        "Iteration 1 of 3 took 1:30, about 3:00 left for the rest.",
        "WARNING: Careful.",
    ]


def test_tenths_that_come_fast_are_passed_over() -> None:
    stream = io.StringIO()
    work(Lines(stream, interval=1e6))
    assert "%" not in stream.getvalue()


@pytest.mark.parametrize("fails", [False, True])
def test_a_terminal_gets_bars_and_is_given_back(fails: bool) -> None:
    stream = Terminal()
    try:
        work(Bars(stream))
        if fails:
            with Bars(stream) as console:
                console.stage("Broken", 3)
                raise KeyError
    except KeyError:
        pass
    text = stream.getvalue()
    assert "Counting [red]sheep[/red]" in text and "4/4" in text and "Half [bold]way[/bold]" in text and "WARNING: Careful." in text
    assert "Iterations" in text and "1/3" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor is hidden and shown again equally often"


def test_quiet_says_warnings_alone() -> None:
    stream = io.StringIO()
    work(Quiet(stream))
    assert stream.getvalue() == "WARNING: Careful.\n"
