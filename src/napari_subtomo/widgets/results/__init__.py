"""What a dock shows of its job's results, below the form."""

from napari_subtomo.widgets.results.checks import ChecksView
from napari_subtomo.widgets.results.classification import ClassificationView
from napari_subtomo.widgets.results.fsc import FscView
from napari_subtomo.widgets.results.montage import MontageView

__all__ = ["ChecksView", "ClassificationView", "FscView", "MontageView"]
