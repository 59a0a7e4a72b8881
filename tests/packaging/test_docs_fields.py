"""The page for people who come from RELION names options that exist, all of them, where they are."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from napari_subtomo.jobs.commandline import extras, flag
from napari_subtomo.jobs.registry import JOBS
from napari_subtomo.options.demo import DemoOptions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-relion.md"
#: flags that belong to no option model, and those of RELION's own programs
COMMON = {"--output", "--overwrite", "--project", "--quiet", "--debug", "--help"}
FOREIGN = re.compile(r"`relion_[^`]*`")
DOCKS = ("pick", "extract", "reconstruct", "classify", "select", "remove-duplicates")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
COMMAND = re.compile(r"command `napari-subtomo ([a-z-]+)`")


def sections() -> dict[str, str]:
    """Text of each section by the job whose dock or command it is about."""
    found = {}
    for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        match = COMMAND.search(part)
        if match:
            found[match[1]] = part
    return found


def flags_of(job: str) -> dict[str, str]:
    """Flags of a job's options, with and without `no-`, to field names."""
    names = {flag(name, info): name for name, info in JOBS[job].model.model_fields.items()}
    return names | {word.replace("--", "--no-", 1): name for word, name in names.items()}


def test_every_flag_on_the_page_is_an_option() -> None:
    known = {word for job in JOBS for word in flags_of(job)} | COMMON | {flag(n, i) for n, i in DemoOptions.model_fields.items()}
    named = set(FLAG.findall(FOREIGN.sub("", PAGE.read_text(encoding="utf-8"))))
    assert named - known == set()
    assert len(named) > 40


def test_the_page_has_a_section_for_every_job_of_the_docks() -> None:
    assert set(sections()) == {*DOCKS, "resize-map", "join"}


@pytest.mark.parametrize("job", [*DOCKS, "resize-map", "join"])
def test_every_option_with_a_label_of_relion_is_in_the_section_of_its_job(job: str) -> None:
    named = set(FLAG.findall(FOREIGN.sub("", sections()[job])))
    fields = {name: info for name, info in JOBS[job].model.model_fields.items() if name not in JOBS[job].positionals}
    assert [name for name, info in fields.items() if info.title and flag(name, info) not in named] == []
    own = flags_of(job).keys() | COMMON
    assert named - own == set()  # an option of another job would mislead


@pytest.mark.gui
@pytest.mark.parametrize("job", ["extract", "reconstruct", "classify"])
def test_places_in_the_forms_are_those_of_the_docks(job: str) -> None:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from napari_subtomo.widgets.fields import field_label

    model = JOBS[job].model
    places = {(str(extras(info).get("group")), field_label(name, info)): flag(name, info) for name, info in model.model_fields.items()}
    assert len(places) == len(model.model_fields)
    found = set()
    for line in sections()[job].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and " → " in cells[1] and not cells[1].startswith("*"):
            group, _, rest = cells[1].partition(" → ")
            group = group.rpartition("; ")[2]
            label = max((known for tab, known in places if tab == group and rest.startswith(known)), key=len, default=None)
            assert label is not None, f"{cells[1]!r} is no field of the form of {job}"
            assert places[group, label] in cells[2], f"{cells[1]!r} is {places[group, label]}"
            found.add((group, label))
    titled = {(str(extras(info).get("group")), field_label(name, info)) for name, info in model.model_fields.items() if info.title}
    assert titled - found <= {("Compute", "Random seed"), ("Average", "Solvent mask")}
