"""Forms made from option models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_subtomo.errors import OptionError
from napari_subtomo.jobs.registry import JOBS
from napari_subtomo.jobs.suggestions import Suggestion
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.options.select import SelectOptions
from napari_subtomo.widgets.forms import OptionForm

pytestmark = pytest.mark.gui


@pytest.mark.parametrize("name", ["pick", "extract", "reconstruct", "classify", "select", "remove-duplicates"])
def test_every_field_of_a_job_has_a_widget_with_help_and_its_flag(qtbot: Any, name: str) -> None:
    model = JOBS[name].model
    form = OptionForm(model)
    qtbot.addWidget(form)
    assert set(form.widgets) == set(model.model_fields)
    for field, info in model.model_fields.items():
        tip = form.widgets[field].native.toolTip()
        assert str(info.description) in tip and "--" in tip


def test_tabs_are_the_groups_of_the_model(qtbot: Any) -> None:
    form = OptionForm(ClassifyOptions)
    qtbot.addWidget(form)
    assert [form.tabText(i) for i in range(form.count())] == ["I/O", "Reference", "CTF", "Optimisation", "Sampling", "Compute"]


def test_an_untouched_form_gives_the_defaults(qtbot: Any, tmp_path: Path) -> None:
    form = OptionForm(ClassifyOptions)
    qtbot.addWidget(form)
    form.set_values({"particles": tmp_path / "p.star", "reference": tmp_path / "r.mrc", "mask_diameter": 380.0}, touched=True)
    assert form.options() == ClassifyOptions(particles=tmp_path / "p.star", reference=tmp_path / "r.mrc", mask_diameter=380.0)


def test_what_the_user_enters_is_what_the_model_gets(qtbot: Any, tmp_path: Path) -> None:
    form = OptionForm(ClassifyOptions)
    qtbot.addWidget(form)
    form.set_values({"particles": tmp_path / "p.star", "reference": tmp_path / "r.mrc"})
    values = {"mask_diameter": 380.0, "classes": 3, "align": False, "regularisation": 0.25, "symmetry": "C6", "highres_limit": 21.5}
    for name, value in values.items():
        form.widgets[name].value = value
    found = form.options()
    assert {name: getattr(found, name) for name in values} == values


def test_a_needed_field_that_is_empty_is_named_by_its_label_and_comes_to_the_front(qtbot: Any) -> None:
    form = OptionForm(ClassifyOptions)
    qtbot.addWidget(form)
    form.setCurrentIndex(3)
    with pytest.raises(OptionError, match="“Reference map” is needed; “Mask diameter \\(Å\\)” is needed"):
        form.options()
    assert form.currentIndex() == 0


def test_lists_of_numbers_and_empty_numbers_are_lines_of_text(qtbot: Any, tmp_path: Path) -> None:
    form = OptionForm(SelectOptions)
    qtbot.addWidget(form)
    form.set_values({"optimiser": tmp_path / "o.star"})
    form.widgets["keep"].value = "1, 3"
    assert form.options() == SelectOptions(optimiser=tmp_path / "o.star", keep=(1, 3))
    form.widgets["min_distance"].value = "80"
    assert form.options().min_distance == 80.0  # type: ignore[attr-defined]
    form.widgets["min_distance"].value = "near"
    with pytest.raises(OptionError, match="“Minimum inter-particle distance"):
        form.options()


def test_suggestions_fill_what_the_user_did_not_touch_and_say_why(qtbot: Any) -> None:
    form = OptionForm(ExtractOptions)
    qtbot.addWidget(form)
    form.widgets["binning"].value = 4.0
    form.suggest({"box_size": Suggestion(48, "1.5 × 300 Å"), "binning": Suggestion(2.0, "that of the tomograms")})
    assert form.widgets["box_size"].value == 48
    assert form.widgets["binning"].value == 4.0
    assert "1.5 × 300 Å" in form.widgets["box_size"].native.toolTip()
    assert "that of the tomograms" in form._stars["binning"].toolTip()
    assert form._stars["binning"].isEnabled() and not form._stars["box_size"].isEnabled()
    form._stars["binning"].click()
    assert form.widgets["binning"].value == 2.0
    assert form.options() == ExtractOptions(box_size=48, binning=2.0)
    form.suggest({"binning": Suggestion(3.0, "other tomograms")})
    assert form.widgets["binning"].value == 3.0


def test_a_field_with_an_alias_is_given_by_its_name(qtbot: Any) -> None:
    form = OptionForm(ExtractOptions)
    qtbot.addWidget(form)
    form.widgets["output_format"].value = "relion31"
    assert form.options() == ExtractOptions(output_format="relion31")


def test_the_options_of_a_job_take_the_place_of_all_that_was_filled_in(qtbot: Any, tmp_path: Path) -> None:
    form = OptionForm(ExtractOptions)
    qtbot.addWidget(form)
    form.prefill({"particles": tmp_path / "p.star", "tomograms": tmp_path / "t.star", "binning": 4.0})
    form.show_all({"optimisation_set": tmp_path / "o.star", "box_size": 32})
    assert form.options() == ExtractOptions(optimisation_set=tmp_path / "o.star", box_size=32)


def test_a_number_that_a_job_needs_is_given_by_the_job_that_is_shown(qtbot: Any, tmp_path: Path) -> None:
    form = OptionForm(ClassifyOptions)
    qtbot.addWidget(form)
    values = {"particles": tmp_path / "p.star", "reference": tmp_path / "r.mrc", "mask_diameter": 380.0}
    form.show_all(values)
    assert form.options() == ClassifyOptions(**values)


def test_values_that_nobody_typed_are_said_once_they_are_all_there(qtbot: Any) -> None:
    form = OptionForm(ExtractOptions)
    qtbot.addWidget(form)
    heard: list[dict[str, Any]] = []
    form.filled.connect(lambda: heard.append(form.values()))
    form.set_values({"box_size": 32, "binning": 2.0}, touched=True)
    assert len(heard) == 1 and heard[0]["box_size"] == 32 and heard[0]["binning"] == 2.0
