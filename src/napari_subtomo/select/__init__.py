"""Choose classes of a classification: their particles, their maps, and the rest beside them."""

from napari_subtomo.select.job import run
from napari_subtomo.select.source import ClassFiles, ClassTable, find_class_files, read_classes

__all__ = ["ClassFiles", "ClassTable", "find_class_files", "read_classes", "run"]
