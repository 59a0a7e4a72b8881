"""One field of an option model as a magicgui widget: kind, range and words come from the model."""

from __future__ import annotations

import re
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit, SpinBox
from magicgui.widgets.bases import ValueWidget
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from napari_subtomo.cli.flags import shape_of
from napari_subtomo.jobs.commandline import extras, flag
from napari_subtomo.widgets.number import NumberBox

FieldWidget = ValueWidget[Any] | FileEdit

#: Largest number that a field without an upper bound takes.
MOST = 10_000_000
#: What file dialogs show, by the last word of a field's name; other paths are STAR files.
FILTERS = {"reference": "Maps and STAR files (*.mrc *.map *.star)", "mask": "Maps (*.mrc *.map)", "points": "Points (*.csv *.star)"}


def field_label(name: str, info: FieldInfo) -> str:
    """RELION's label where it has one, with the unit."""
    title = (info.title or name.replace("_", " ").capitalize()).rstrip(":")
    unit = extras(info).get("unit")
    if not unit or "(" in title:
        return title.replace("(A)", "(Å)")
    return f"{title} ({unit})" if not title.endswith("?") else f"{title[:-1]} ({unit})?"


def field_tip(name: str, info: FieldInfo) -> str:
    """What the field does, its default, and its flag on the command line."""
    default = default_of(info)
    told = "" if default in (None, (), "", PydanticUndefined) or isinstance(default, bool) else f" Default: {_shown(default)}."
    return f"{info.description or ''}{told}\nCommand line: {flag(name, info)}"


def default_of(info: FieldInfo) -> Any:
    """The default; pydantic's mark for a field that must be given."""
    return PydanticUndefined if info.is_required() else info.get_default(call_default_factory=True, validated_data={})


def make_field(name: str, info: FieldInfo) -> FieldWidget:
    """The widget of a field, holding its default.

    Parameters
    ----------
    name : str
    info : FieldInfo
        Of a pydantic model made with `options.base.option`.
    """
    shape, default = shape_of(info.annotation), default_of(info)
    optional = NoneType in get_args(info.annotation)
    given = None if default is PydanticUndefined else default
    common: dict[str, Any] = {"name": name, "tooltip": field_tip(name, info)}
    if shape.switch:
        return CheckBox(value=bool(given), text=" ", **common)
    if shape.metavar == "FILE" and shape.count is None:
        kind = FILTERS.get(name.rsplit("_", 1)[-1], "STAR files (*.star)")
        return FileEdit(value=given, mode=FileDialogMode.EXISTING_FILE, filter=kind, nullable=True, **common)
    if shape.choices and shape.count is None and not optional:
        return ComboBox(choices=list(shape.choices), value=given, **common)
    if optional or shape.count is not None or shape.metavar not in ("N", "X"):
        edit = LineEdit(value=_shown(given), **common)
        edit.native.setPlaceholderText("none" if optional else "")
        return edit
    low, high = _bounds(info)
    if shape.metavar == "N":
        step = int(_bound(info, "multiple_of") or 1)
        whole = SpinBox(value=int(given if given is not None else max(low, 0)), min=int(low), max=int(high), step=step, **common)
        return _told(whole, info, low)
    number = NumberBox(value=float(given if given is not None else max(low, 0.0)), min=low, max=high, step=None, **common)
    return _told(number, info, low)


def read_field(widget: FieldWidget, info: FieldInfo) -> Any:
    """What the user entered, as the option model takes it; None for an empty field."""
    value: Any = widget.value
    if isinstance(widget, FileEdit):
        return None if value is None or str(value) in ("", ".") else Path(value)
    if isinstance(widget, LineEdit):
        text = str(value).strip()
        if not text:
            return None
        return tuple(text.replace(",", " ").split()) if shape_of(info.annotation).count is not None else text
    if isinstance(widget, NumberBox):
        return round(float(value), 6)
    return value


def write_field(widget: FieldWidget, value: Any) -> None:
    """Show a value of the option model."""
    if isinstance(widget, LineEdit) and not isinstance(widget, FileEdit):
        widget.value = _shown(value)
    else:
        widget.value = value


def _told(widget: FieldWidget, info: FieldInfo, low: float) -> FieldWidget:
    """The widget, with what -1 stands for in place of the number."""
    meaning = re.search(r"-1: ([^.;,]+)", info.description or "")
    if meaning and low == -1:
        widget.native.setSpecialValueText(meaning.group(1))
    return widget


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(_shown(item) for item in value) if isinstance(value, list | tuple) else str(value)


def _bounds(info: FieldInfo) -> tuple[float, float]:
    """Range of a number; bounds that are not in the range themselves are left to the option model, which says so."""
    low = next((_bound(info, word) for word in ("ge", "gt") if _bound(info, word) is not None), None)
    high = next((_bound(info, word) for word in ("le", "lt") if _bound(info, word) is not None), None)
    return (-1.0 if low is None else float(low)), (float(MOST) if high is None else float(high))


def _bound(info: FieldInfo, word: str) -> Any:
    return next((getattr(mark, word) for mark in info.metadata if getattr(mark, word, None) is not None), None)
