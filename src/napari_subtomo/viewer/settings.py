"""The plugin's settings: napari keeps and edits them (File > Preferences > Subtomogram analysis), everything here only reads them.

napari stores them in `napari-subtomo.yaml` beside its own settings, in the group `general` that the manifest declares under
`configurations`. Without napari, or with a manifest that it has not read yet, the defaults hold.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

#: Name of the plugin, and of the group of its settings in the manifest.
PLUGIN, GROUP = "napari-subtomo", "general"


@dataclass(frozen=True)
class Settings:
    """What the user prefers; the keys are those of the manifest.

    Attributes
    ----------
    project_folder : str
        Where dialogs that open a project begin; "" for the folder that was used last.
    threads : int
        Threads of a job that is started from a dock; 0 for as many as the machine has processors.
    device : str
        Where jobs compute: "auto" (a GPU if there is one), "cpu", "cuda:0", "cuda:1", …
    run_in : "process" or "thread"
        Whether jobs of the docks run in a process of their own, which outlives the window, or in a thread of it.
    rejected : "dimmed" or "hidden"
        How rejected particles look in a project that is opened.
    """

    project_folder: str = ""
    threads: int = 0
    device: str = "auto"
    run_in: Literal["process", "thread"] = "process"
    rejected: Literal["dimmed", "hidden"] = "dimmed"


def settings() -> Settings:
    """The settings as they are now; the defaults where napari knows of none."""
    stored = _stored()
    found = {field.name: getattr(stored, field.name) for field in fields(Settings) if hasattr(stored, field.name)}
    return Settings(**found)


def _stored() -> Any:
    try:
        from napari.settings import get_plugin_settings
        from npe2 import PluginManager

        PluginManager.instance().get_manifest(PLUGIN)  # else napari would look for all plugins there are
        return getattr(get_plugin_settings(PLUGIN), GROUP)
    except (ImportError, KeyError, AttributeError):
        return None
