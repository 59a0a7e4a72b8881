"""An option model as flags of a command."""

from __future__ import annotations

import argparse
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from napari_subtomo.jobs.commandline import extras, flag, key
from napari_subtomo.options.base import JobOptions

#: how often a field's values follow its flag: a number, or one or more
Count = int | Literal["+"] | None


@dataclass(frozen=True)
class Shape:
    """How a type looks on the command line."""

    metavar: str = "TEXT"
    count: Count = None
    choices: tuple[str, ...] = ()
    switch: bool = False


def shape_of(annotation: Any) -> Shape:
    """How values of a type are given: a switch, one value, some values, one of some words."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        shapes = [shape_of(item) for item in inner if item is not type(None)]
        return shapes[0] if len(shapes) == 1 else _joined(shapes)
    if origin is Literal:
        return Shape(choices=tuple(str(item) for item in inner))
    if origin in (list, set, frozenset, Sequence) or (origin is tuple and (len(inner) < 2 or inner[1] is Ellipsis)):
        one = shape_of(inner[0]) if inner else Shape()
        return Shape(one.metavar, "+", one.choices)
    if origin is tuple:
        return Shape(shape_of(inner[0]).metavar, len(inner))
    if annotation is bool:
        return Shape(switch=True)
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return Shape(choices=tuple(str(item.value) for item in annotation))
        if issubclass(annotation, Path):
            return Shape("FILE")
        if issubclass(annotation, int):
            return Shape("N")
        if issubclass(annotation, float):
            return Shape("X")
    return Shape()


def add_options(parser: argparse.ArgumentParser, model: type[JobOptions], positionals: Iterable[str] = ()) -> None:
    """Add every field of `model` to the parser, in the groups of the model; only what was given appears in the parsed names.

    Parameters
    ----------
    parser : ArgumentParser
    model : option model
    positionals : iterable of str
        Fields that are given without a flag, in order.
    """
    first = list(positionals)
    for name in first:
        _add_positional(parser, name, model.model_fields[name])
    groups: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name in first:
            continue
        title = str(extras(info).get("group") or "I/O")
        group = groups.setdefault(title, parser.add_argument_group(title))
        _add_flag(group, name, info)


def help_text(info: FieldInfo) -> str:
    """Description, default and RELION's label; percent signs doubled, as argparse wants them."""
    description = (info.description or "").rstrip()
    unit = extras(info).get("unit")
    notes = []
    if info.is_required():
        notes.append("needed")
    elif (default := _default(info)) not in (None, (), [], ""):
        notes.append(f"default {_text(default)}" + (f" {unit}" if unit and not isinstance(default, bool) else ""))
    if info.title:
        notes.append(f"‘{info.title}’")
    tail = f" [{'; '.join(notes)}]" if notes else ""
    return (description + tail).strip().replace("%", "%%")


def metavar(name: str, info: FieldInfo) -> str:
    """Word for a positional field: ``columns`` -> ``COLUMN``."""
    return key(name, info).upper().removesuffix("S" if shape_of(info.annotation).count == "+" else "")


def value_word(info: FieldInfo) -> str:
    """Word for the value after a flag: its unit, its choices, or its kind."""
    shape = shape_of(info.annotation)
    unit = str(extras(info).get("unit") or "")
    if shape.choices:
        return "{" + ",".join(shape.choices) + "}"
    return unit if unit and " " not in unit else shape.metavar


def _add_flag(group: Any, name: str, info: FieldInfo) -> None:
    shape = shape_of(info.annotation)
    words = [flag(name, info)]
    common: dict[str, Any] = {"dest": key(name, info), "default": argparse.SUPPRESS, "help": help_text(info)}
    if shape.switch:
        group.add_argument(*words, action=argparse.BooleanOptionalAction, **common)
        return
    word = value_word(info)
    common["metavar"] = (word,) * shape.count if isinstance(shape.count, int) else word
    if shape.choices:
        common["choices"] = shape.choices
    if shape.count is not None:
        common["nargs"] = shape.count
    if shape.count == "+":
        common["action"] = "extend"
    group.add_argument(*words, **common)


def _add_positional(parser: argparse.ArgumentParser, name: str, info: FieldInfo) -> None:
    many = shape_of(info.annotation).count == "+"
    nargs = "*" if many else (None if info.is_required() else "?")
    parser.add_argument(key(name, info), nargs=nargs, default=argparse.SUPPRESS, metavar=metavar(name, info), help=help_text(info))


def _joined(shapes: list[Shape]) -> Shape:
    """A union: as many values as its widest member takes, any text."""
    count: Count = next((shape.count for shape in shapes if shape.count is not None), None)
    words = ["|".join(shape.choices) or shape.metavar for shape in shapes]
    return Shape("|".join(dict.fromkeys(words)), count)


def _default(info: FieldInfo) -> Any:
    value = info.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return " ".join(_text(item) for item in value)
    return str(value)
