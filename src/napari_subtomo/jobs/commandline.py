"""Options as words of a command line: names of flags, a line that does the same again, and sentences about wrong values."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from napari_subtomo.errors import OptionError
from napari_subtomo.options.base import JobOptions

PROGRAM = "napari-subtomo"


def key(name: str, info: FieldInfo) -> str:
    """The name under which a field is given and stored: its alias, where it has one (`from` is no name in Python)."""
    return info.alias or name


def extras(info: FieldInfo) -> Mapping[str, Any]:
    """What `option()` noted beside the field: unit, group."""
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def flag(name: str, info: FieldInfo) -> str:
    """``box_size`` -> ``--box-size``; a "flag" noted in the field or its alias goes first."""
    return "--" + str(extras(info).get("flag") or key(name, info)).replace("_", "-")


def command_words(job: str, model: type[JobOptions], values: Mapping[str, Any], positionals: Iterable[str] = ()) -> list[str]:
    """The words after the program's name that give `values` (as stored in a record) to the job.

    Parameters
    ----------
    job : str
        Command.
    model : option model
    values : mapping
        Key to value; None is left out.
    positionals : iterable of str
        Fields that are given without a flag, in order; they come first.
    """
    words = [job]
    first = tuple(positionals)
    for name in first:
        words += _texts(values.get(key(name, model.model_fields[name])))
    for name, info in model.model_fields.items():
        value = values.get(key(name, info))
        if name in first or value is None:
            continue
        word = flag(name, info)
        if isinstance(value, bool):
            words.append(word if value else word.replace("--", "--no-", 1))
        elif texts := _texts(value):
            words += [word, *texts]
    return words


def shown(words: Iterable[str]) -> str:
    """Words as one line for a shell."""
    return shlex.join([PROGRAM, *words])


def option_error(model: type[JobOptions], error: ValidationError, naming: Callable[[str, FieldInfo], str] = flag) -> OptionError:
    """pydantic's findings as one sentence each, in the words of the command line or of another `naming` of the fields."""
    flags = {key(name, info): naming(name, info) for name, info in model.model_fields.items()}
    flags |= {name: naming(name, info) for name, info in model.model_fields.items()}
    sentences = []
    for finding in error.errors():
        where = str(finding["loc"][0]) if finding["loc"] else ""
        text = finding["msg"].removeprefix("Value error, ").rstrip(".")
        given = finding.get("input")
        if finding["type"] == "missing":
            sentence = f"{flags.get(where, where)} is needed"
        elif finding["type"] == "extra_forbidden":
            sentence = f"there is no option '{where}'"
        elif where:
            sentence = f"{flags.get(where, where)}: {text[:1].lower() + text[1:]}, found {given!r}"
        else:
            sentence = text
        if sentence not in sentences:
            sentences.append(sentence)
    whole = "; ".join(sentences)
    return OptionError(whole[:1].upper() + whole[1:] + ".")


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return [str(value)]
