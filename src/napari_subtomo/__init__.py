"""Subtomogram analysis in napari: pick, extract, average, classify, choose, and hand back to RELION 5."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("napari-subtomo")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
