"""What a user gets: the wheel, the plugin that napari finds in it, and an editable install that shows the same."""

from __future__ import annotations

import json
import subprocess
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]

FIND_PLUGIN = """
import json
import warnings

warnings.simplefilter("ignore")
import napari_subtomo
from npe2 import PluginManager

plugins = PluginManager.instance()
plugins.discover()
manifest = plugins.get_manifest("napari-subtomo")
print(json.dumps({"package": napari_subtomo.__file__, "manifest": json.loads(manifest.json())}))
"""

IMPORT_COMMANDS = """
import importlib
import warnings

warnings.simplefilter("ignore")
from npe2 import PluginManifest

for command in PluginManifest.from_distribution("napari-subtomo").contributions.commands:
    module, _, name = command.python_name.partition(":")
    print(command.id, getattr(importlib.import_module(module), name).__name__)
"""

READ_MENUS = """
import json
import warnings

warnings.simplefilter("ignore")
import napari


def entries(menu, path=()):
    menu.aboutToShow.emit()
    for action in menu.actions():
        here = (*path, action.text().replace("&", ""))
        if action.menu() is None:
            yield here
        else:
            yield from entries(action.menu(), here)


viewer = napari.Viewer(show=False)
found = []
for action in viewer.window._qt_window.menuBar().actions():
    if action.menu() is not None:
        found += entries(action.menu(), (action.text().replace("&", ""),))
viewer.close()
print("MENUS" + json.dumps(found))
"""


def manifest_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def test_the_wheel_holds_the_manifest_itself_and_nothing_but_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read("napari_subtomo/napari.yaml") == (ROOT / "napari.yaml").read_bytes()
        assert archive.getinfo("napari_subtomo/napari.yaml").external_attr >> 28 != 0o12, "the manifest must not be a link"
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names} == {"napari_subtomo", f"{wheel.name.split('-py3')[0]}.dist-info"}
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert sources <= set(names)
    assert "napari_subtomo/py.typed" in names
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*") if path.is_file()}
    assert {f"napari_subtomo/docs/{page}" for page in pages} <= set(names)  # the help buttons show them


def test_the_wheel_names_no_qt_binding_and_no_gpu_outside_its_extras(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    base = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert base
    assert not [line for line in base if line.lower().startswith(("pyqt5", "pyqt6", "pyside"))]
    assert not [line for line in base if "[" in line or "cupy" in line]
    assert {"all", "cuda12", "cuda13", "test", "dev"} <= set(metadata.get_all("Provides-Extra", []))
    assert metadata["License-Expression"] == "BSD-3-Clause"


def test_the_version_is_written_once(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert wheel.name.startswith(f"napari_subtomo-{project['version']}-")
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_napari_finds_the_plugin_in_the_wheel(fresh: Any) -> None:
    found = manifest_of(fresh.run(FIND_PLUGIN))
    assert Path(found["package"]).is_relative_to(fresh.folder)
    assert found["manifest"]["display_name"]


def test_an_editable_install_shows_the_same_plugin(editable: Any, fresh: Any) -> None:
    found = manifest_of(editable.run(FIND_PLUGIN))
    assert Path(found["package"]).is_relative_to(ROOT / "src")
    assert found["manifest"]["contributions"] == manifest_of(fresh.run(FIND_PLUGIN))["manifest"]["contributions"]


@pytest.mark.gui
def test_every_command_of_the_manifest_can_be_imported_from_the_wheel(fresh: Any) -> None:
    commands = manifest_of(fresh.run(FIND_PLUGIN))["manifest"]["contributions"]["commands"]
    assert len(fresh.run(IMPORT_COMMANDS).splitlines()) == len(commands)


def test_the_wheel_brings_the_command(fresh: Any) -> None:
    command = [fresh.folder / "bin" / "napari-subtomo", "--help"]
    done = subprocess.run(command, cwd=fresh.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    jobs = ("simulate", "pick", "extract", "reconstruct", "classify", "select", "remove-duplicates", "join", "resize-map", "table")
    for job in (*jobs, "check-extraction", "open", "demo"):
        assert job in done.stdout


@pytest.mark.gui
def test_the_wheel_puts_the_plugin_into_naparis_menus(fresh: Any) -> None:
    output = fresh.run(READ_MENUS)
    menus = [tuple(entry) for entry in json.loads(output[output.index("MENUS") + len("MENUS") :])]
    contributions = manifest_of(fresh.run(FIND_PLUGIN))["manifest"]["contributions"]
    plugins = [entry for entry in menus if entry[0] == "Plugins"]
    for widget in contributions["widgets"]:
        assert [entry for entry in plugins if any(widget["display_name"] in text for text in entry)], plugins
    samples = [entry for entry in menus if entry[:2] == ("File", "Open Sample")]
    for sample in contributions["sample_data"]:
        assert [entry for entry in samples if any(sample["display_name"] in text for text in entry)], samples
