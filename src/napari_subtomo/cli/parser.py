"""The parser of one command; only the command that was asked for is built."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import sys
from collections.abc import Iterable
from typing import NoReturn

from napari_subtomo.cli.flags import add_options, metavar, shape_of, value_word
from napari_subtomo.errors import OptionError
from napari_subtomo.jobs.commandline import PROGRAM, flag
from napari_subtomo.options.base import JobOptions

NEGATIVE = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one exception with one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise in place of printing the usage."""
        message = message.removeprefix("argument ")
        raise OptionError(f"{message[:1].upper() + message[1:]}; see {self.prog} --help.")


class HelpFormatter(argparse.HelpFormatter):
    """As wide as the terminal within reason."""

    def __init__(self, prog: str) -> None:
        width = min(shutil.get_terminal_size().columns, 130) - 2
        super().__init__(prog, max_help_position=32, width=max(width, 60))

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return action.option_strings[0].replace("--", "--[no-]", 1)
        if action.option_strings and action.nargs != 0:  # "-o, --output DIR" in place of "-o DIR, --output DIR"
            values = self._format_args(action, self._get_default_metavar_for_optional(action))
            return f"{', '.join(action.option_strings)} {values}"
        return super()._format_action_invocation(action)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs == "+":
            return f"{self._metavar_formatter(action, default_metavar)(1)[0]} ..."
        return super()._format_args(action, default_metavar)


def new_parser(command: str, description: str, *, epilog: str | None = None) -> Parser:
    """An empty parser for ``napari-subtomo command``."""
    parser = Parser(
        prog=f"{PROGRAM} {command}",
        description=description.replace("%", "%%"),
        epilog=epilog,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    # "-1e3" and "-.5" are numbers as well; argparse's own pattern (before Python 3.14) takes the first for a flag
    parser._negative_number_matcher = NEGATIVE
    return parser


def model_parser(command: str, help: str, model: type[JobOptions], positionals: Iterable[str] = (), place: str = "") -> Parser:
    """A parser with every option of `model`."""
    text = (model.__doc__ or "").strip().split("\n\n")[0]
    quoted = any(info.title for info in model.model_fields.values())
    epilog = "In ‘quotation marks’: the label of the option in RELION's window and in the docks." if quoted else None
    parser = new_parser(command, text or help, epilog=epilog)
    add_options(parser, model, positionals)
    parser.usage = usage(parser.prog, model, positionals, place)
    return parser


def usage(prog: str, model: type[JobOptions], positionals: Iterable[str] = (), place: str = "") -> str:
    """The line under `usage:`: what must be given, and that there is more."""
    first = list(positionals)
    words = [prog, place] if place else [prog]
    for name in first:
        info = model.model_fields[name]
        word = metavar(name, info)
        words.append(word if info.is_required() else f"[{word}{' ...' if shape_of(info.annotation).count == '+' else ''}]")
    for name, info in model.model_fields.items():
        if info.is_required() and name not in first:
            words += [flag(name, info), value_word(info)]
    return " ".join([*words, "[OPTION ...]"]).replace("%", "%%")


def add_output(parser: argparse.ArgumentParser, *, place: str = "", numbered: bool = True, project: bool = True) -> None:
    """Where a job writes."""
    if place:
        parser.add_argument("_output", metavar=place, help="Folder of the project that is made.")
    group = parser.add_argument_group("Output")
    if numbered:
        text = "Folder of the job; without it the next jobNNN of the project."
        group.add_argument("-o", "--output", dest="_output", metavar="DIR", help=text)
    if numbered and project:
        text = "Project that paths in STAR files are relative to; without it found from the input."
        group.add_argument("--project", dest="_project", metavar="DIR", help=text)
    if numbered or place:
        text = "Put former content of the folder into the project's Trash."
        group.add_argument("--overwrite", dest="_overwrite", action="store_true", help=text)


def add_talk(parser: argparse.ArgumentParser) -> None:
    """How much is said."""
    group = parser.add_argument_group("Messages")
    group.add_argument("-q", "--quiet", dest="_quiet", action="store_true", help="Say nothing but warnings and errors.")
    group.add_argument("--debug", dest="_debug", action="store_true", help="Show the traceback of an error.")


def parse(parser: Parser, words: list[str]) -> tuple[dict[str, object], argparse.Namespace]:
    """Given option values by key, and the names that belong to the command itself (their `dest` begins with an underscore)."""
    names, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        raise OptionError(_unknown(parser, unknown))
    values = {key: value for key, value in vars(names).items() if not key.startswith("_")}
    return values, names


def similar(word: str, known: Iterable[str]) -> str:
    """`` (did you mean ...?)`` or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {close[0]}" if close else ""


def tolerant_streams() -> None:
    """A terminal that cannot show Å gets a question mark, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def silence_stdout() -> None:
    """After a broken pipe (``| head``) Python must not complain again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unknown(parser: Parser, unknown: list[str]) -> str:
    word = unknown[0].partition("=")[0]
    if not word.startswith("-"):
        return f"Expected options after the arguments of {parser.prog}, found '{word}' too many; see --help."
    return f"There is no option {word}{similar(word, parser._option_string_actions)}; see {parser.prog} --help."
