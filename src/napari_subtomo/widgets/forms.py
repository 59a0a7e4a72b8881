"""An option model as a form: a tab for each of its groups, as RELION's job windows have them, with suggestions and their reasons."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

from pydantic import ValidationError
from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QScrollArea, QTabWidget, QToolButton, QWidget

from napari_subtomo.jobs.commandline import extras, key, option_error
from napari_subtomo.options.base import JobOptions
from napari_subtomo.widgets.fields import FieldWidget, default_of, field_label, field_tip, make_field, read_field, write_field

#: Width of the column of labels; longer ones wrap.
LABEL_WIDTH = 150


class Suggested(Protocol):
    """A value and the reason for it."""

    @property
    def value(self) -> Any:
        """For the field."""

    @property
    def reason(self) -> str:
        """One sentence."""


class OptionForm(QTabWidget):
    """The fields of an option model.

    Parameters
    ----------
    model : option model
    leave_out : collection of str
        Fields that are not shown.
    parent : QWidget, optional
    """

    #: name of the field that the user changed
    edited = Signal(str)
    #: fields were given values by something else than the user
    filled = Signal()

    def __init__(self, model: type[JobOptions], leave_out: Collection[str] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.widgets: dict[str, FieldWidget] = {}
        self._touched: set[str] = set()
        self._shown: set[str] = set()  # given by the job that is shown
        self._suggestions: dict[str, Suggested] = {}
        self._stars: dict[str, QToolButton] = {}
        self._pages: dict[str, int] = {}
        self._filling = False
        self.setUsesScrollButtons(False)
        self.setStyleSheet("QTabBar::tab { padding: 3px 6px; }")
        for title, names in self._groups(leave_out):
            self._add_page(title, names)

    def _groups(self, leave_out: Collection[str]) -> Iterator[tuple[str, list[str]]]:
        groups: dict[str, list[str]] = {}
        for name, info in self.model.model_fields.items():
            if name not in leave_out:
                groups.setdefault(str(extras(info).get("group") or "I/O"), []).append(name)
        yield from sorted(groups.items(), key=lambda item: item[0] == "Compute")  # the last tab, as RELION's Running is

    def _add_page(self, title: str, names: list[str]) -> None:
        page, area = QWidget(), QScrollArea()
        grid = QGridLayout(page)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        for row, name in enumerate(names):
            info = self.model.model_fields[name]
            widget = self.widgets[name] = make_field(name, info)
            label = QLabel(field_label(name, info))
            label.setWordWrap(True)
            label.setFixedWidth(LABEL_WIDTH)
            label.setToolTip(field_tip(name, info))
            grid.addWidget(label, row, 0)
            grid.addWidget(widget.native, row, 1)
            grid.addWidget(self._star(name), row, 2)
            widget.changed.connect(lambda _=None, name=name: self._changed(name))
            self._pages[name] = self.count()
        grid.setRowStretch(len(names), 1)
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(page)
        self.addTab(area, title)

    def _star(self, name: str) -> QToolButton:
        star = self._stars[name] = QToolButton()
        star.setText("✦")
        star.setFixedSize(22, 22)
        policy = star.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        star.setSizePolicy(policy)
        star.hide()
        star.clicked.connect(lambda: self.take(name))
        return star

    # --- values ------------------------------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """What differs from the defaults, by field name, as the user entered it."""
        found = {}
        preset = self.model.PRESETS.get(str(self.widgets["preset"].value), {}) if "preset" in self.widgets else {}
        for name, widget in self.widgets.items():
            info = self.model.model_fields[name]
            value, default = read_field(widget, info), default_of(info)
            # a spin box always has a value: that of a needed number which nobody gave is none
            if name in preset and value is not None:  # the default beside a preset is a choice
                found[name] = value
                continue
            given = name in self._touched | self._shown or name in self._suggestions or not isinstance(value, int | float)
            if value is not None and value not in (default, _plain(default)) and (given or not info.is_required()):
                found[name] = value
        return found

    def options(self) -> JobOptions:
        """The option model.

        Raises
        ------
        OptionError
            Values that do not fit, one sentence each, by the labels of the form; its first field comes to the front.
        """
        values = self.values()
        try:
            return self.model(**values)
        except ValidationError as error:
            place = next((str(finding["loc"][0]) for finding in error.errors() if finding["loc"]), "")
            self.bring_forward(next((name for name, info in self.model.model_fields.items() if place in (name, key(name, info))), ""))
            raise option_error(self.model, error, lambda name, info: f"“{field_label(name, info)}”") from None

    def set_values(self, values: Mapping[str, Any], touched: bool = False) -> None:
        """Show values; `touched`: as if the user had entered them, so that no suggestion takes their place."""
        self._filling = True
        try:
            for name, value in values.items():
                if name in self.widgets:
                    write_field(self.widgets[name], value)
                    if touched:
                        self._touched.add(name)
        finally:
            self._filling = False
        self._mark()
        self.filled.emit()

    def show_all(self, values: Mapping[str, Any]) -> None:
        """Show the options of a job: fields that it was not given hold their defaults, whatever was filled in before."""
        fields = self.model.model_fields
        defaults = {name: default_of(fields[name]) for name in self.widgets if not fields[name].is_required()}
        self._shown = set(values)
        self.set_values(defaults | dict(values))

    def prefill(self, values: Mapping[str, Any]) -> None:
        """Show values in fields that the user has not touched."""
        self.set_values({name: value for name, value in values.items() if name not in self._touched})

    def touched(self, name: str) -> bool:
        """Whether the user entered the field's value."""
        return name in self._touched

    def bring_forward(self, name: str) -> None:
        """Show the tab of a field, and put the cursor there."""
        if name in self._pages:
            self.setCurrentIndex(self._pages[name])
            self.widgets[name].native.setFocus()

    # --- suggestions -------------------------------------------------------------------------------------------------------

    def suggest(self, suggestions: Mapping[str, Suggested], fill: bool = True) -> None:
        """Fill fields that the user has not touched; ✦ beside a field says why, and takes the suggestion where it was touched.

        Without `fill` all fields keep their values.
        """
        self._suggestions = {name: suggestion for name, suggestion in suggestions.items() if name in self.widgets}
        if not fill:
            self._mark()
            return
        self.prefill({name: suggestion.value for name, suggestion in self._suggestions.items()})

    def take(self, name: str) -> None:
        """Take the suggestion for a field."""
        self._touched.discard(name)
        self.set_values({name: self._suggestions[name].value})
        self.edited.emit(name)

    def _mark(self) -> None:
        for name, star in self._stars.items():
            suggestion = self._suggestions.get(name)
            star.setVisible(suggestion is not None)
            if suggestion is not None:
                taken = _same(read_field(self.widgets[name], self.model.model_fields[name]), suggestion.value)
                star.setEnabled(not taken)
                star.setToolTip(("Suggested: " if taken else f"Take the suggested {_word(suggestion.value)}: ") + suggestion.reason)
                tip = field_tip(name, self.model.model_fields[name])
                self.widgets[name].native.setToolTip(f"{tip}\nSuggested {_word(suggestion.value)}: {suggestion.reason}")

    def _changed(self, name: str) -> None:
        if not self._filling:
            self._touched.add(name)
            if name == "preset":
                self._show_preset()
            self._mark()
            self.edited.emit(name)

    def _show_preset(self) -> None:
        """Show what the chosen preset sets, and the defaults of what only others set."""
        fields, presets = self.model.model_fields, self.model.PRESETS
        defaults = {name: default_of(fields[name]) for values in presets.values() for name in values}
        self.set_values(defaults | dict(presets.get(str(self.widgets["preset"].value), {})))


def _plain(default: Any) -> Any:
    """A default as a line of text gives it back."""
    return tuple(str(item) for item in default) if isinstance(default, tuple) else str(default) if default is not None else None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) <= 1e-6 * max(1.0, abs(b))
    return str(a) == str(b)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
