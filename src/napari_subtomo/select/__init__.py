"""Choose classes of a classification: their particles, their maps, and the rest beside them."""

from napari_subtomo.io.class_files import ClassFiles, ClassTable, find_class_files, read_classes
from napari_subtomo.select.job import run

__all__ = ["ClassFiles", "ClassTable", "find_class_files", "read_classes", "run"]
