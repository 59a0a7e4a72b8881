"""Settings come from napari where it has them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from napari_subtomo.viewer import settings as module
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.settings import GROUP, Settings, settings


def test_without_napari_s_settings_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLUGIN", "no-such-plugin")
    assert settings() == Settings(project_folder="", threads=0, device="auto", run_in="process", rejected="dimmed")


def test_what_napari_has_counts_and_what_it_lacks_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_stored", lambda: SimpleNamespace(threads=3, rejected="hidden"))
    assert settings() == Settings(threads=3, rejected="hidden")


def test_a_project_opens_with_the_rejected_particles_as_preferred(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_stored", lambda: SimpleNamespace(rejected="hidden"))
    assert load_session(project.root).rejected == "hidden"


def test_the_manifest_declares_the_same_keys_and_defaults() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(Path(module.__file__).parents[1] / "napari.yaml")
    declared = manifest.contributions.configurations or {}
    if GROUP not in declared:
        pytest.skip("the manifest declares no settings yet")
    assert {key: value.default for key, value in declared[GROUP].properties.items()} == asdict(Settings())
