"""The former name of the dock "Project", as the manifest still has it."""

from napari_subtomo.widgets.panels.project import ProjectPanel as KeptParticles

__all__ = ["KeptParticles"]
