"""Is an extraction right? Seven questions to the first few hundred particles, each answered with pass, fail or cannot tell."""

from napari_subtomo.check.job import run

__all__ = ["run"]
