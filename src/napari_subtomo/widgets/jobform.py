"""The form of a job with what is known of its inputs: files filled in, suggestions with reasons, and what the job will need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.jobs.facts import Facts, gather_facts
from napari_subtomo.jobs.forecast import forecast
from napari_subtomo.jobs.rates import DEFAULT, Rates, measure_rates
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.jobs.suggestions import suggest
from napari_subtomo.options.base import JobOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.settings import settings
from napari_subtomo.widgets.forms import OptionForm
from napari_subtomo.widgets.task import Task

#: Milliseconds after the last change of a file before the files are read for suggestions.
SETTLE = 300
#: Fields whose change asks for new suggestions.
INPUTS = ("optimisation_set", "particles", "tomograms", "reference")
#: What the quick measurement of this machine found; once for all forms.
_rates: list[Rates] = []


class JobForm(QWidget):
    """A job's options.

    Parameters
    ----------
    job : str
        Its name in the registry.
    parent : QWidget, optional
    """

    #: facts of the inputs are known
    known = Signal(object)

    def __init__(self, job: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job = job
        self.facts = Facts()
        self._project: Project | None = None
        self._reading: Task[Any] | None = None
        self._asked = 0
        self.diameter = QDoubleSpinBox()
        self.diameter.setRange(0, 100_000)
        self.diameter.setDecimals(0)
        self.diameter.setSingleStep(10)
        self.diameter.setSuffix(" Å")
        self.diameter.setSpecialValueText("unknown")
        self.diameter.setToolTip("Largest extent of the particle; the suggestions (✦) for boxes, masks and searches follow from it.")
        self.form = OptionForm(get_job(job).model)
        self.needs = QLabel()
        self.needs.setWordWrap(True)
        self.needs.setToolTip("Predicted from the sizes of the inputs and the speed of this machine; see the documentation for how well.")
        row, layout = QHBoxLayout(), QVBoxLayout(self)
        row.addWidget(QLabel("Particle diameter"))
        row.addWidget(self.diameter)
        row.addStretch(1)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.form, 1)
        layout.addWidget(self.needs)
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(SETTLE)
        self._settled.timeout.connect(self._read_facts)
        self.form.edited.connect(self._edited)
        self.form.filled.connect(self._forecast)
        self.diameter.editingFinished.connect(self._suggest)

    def set_project(self, project: Project, diameter: float) -> None:
        """Another project: its preferences, and a diameter if none was given."""
        self._project = project
        if self.diameter.value() == 0:
            self.diameter.setValue(diameter)
        chosen = settings()
        if chosen.device != "auto":
            self.form.prefill({"device": chosen.device})

    def refill(self, files: Mapping[str, Any]) -> None:
        """Put files into the fields that the user has not touched."""
        self.form.prefill(files)
        self._settled.start()

    def show_job(self, options: Mapping[str, Any]) -> None:
        """Show the options of a job; what is suggested for its inputs is marked, but does not take their place."""
        self._settled.stop()
        self.form.show_all(options)
        self._read_facts(fill=False)

    def options(self) -> JobOptions:
        """The option model; see `OptionForm.options`."""
        return self.form.options()

    def close_down(self) -> None:
        """Read nothing more."""
        self._settled.stop()
        if self._reading is not None:
            self._reading.cancel()

    def _edited(self, name: str) -> None:
        if name in INPUTS:
            self._settled.start()
        self._forecast()

    def _read_facts(self, fill: bool = True) -> None:
        project, values = self._project, self.form.values()
        if project is None:
            return
        particles = values.get("particles") or values.get("optimisation_set")

        self._asked += 1
        number = self._asked

        def read(_: Reporter) -> tuple[int, bool, Facts]:
            if not _rates:
                _rates.append(measure_rates())
            return number, fill, gather_facts(particles, values.get("tomograms"), values.get("reference"), project)

        task: Task[tuple[int, bool, Facts]] = Task(read, self)
        self._reading = task
        task.finished.connect(self._facts_known)
        task.start()

    def _facts_known(self, answer: tuple[int, bool, Facts]) -> None:
        number, fill, facts = answer
        if number == self._asked:  # else the inputs have changed meanwhile
            self.facts = facts
            self._suggest(fill)
            self.known.emit(facts)

    def _suggest(self, fill: bool = True) -> None:
        found = dict(suggest(self.job, self.facts, self.diameter.value() or None))
        if settings().threads and "threads" in found:
            del found["threads"]
            if fill:
                self.form.prefill({"threads": settings().threads})
        self.form.suggest(found, fill)
        self._forecast()

    def _forecast(self) -> None:
        try:
            options = self.form.model(**self.form.values())
        except ValueError:  # something is missing still, and Run says what
            self.needs.setText("")
            return
        found = forecast(self.job, options, self.facts, _rates[0] if _rates else DEFAULT)
        self.needs.setText(found.sentence if found is not None else "")
