"""The tests of this folder share one simulated project that was classified once."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.simulate.project import make_sample

SAMPLE = {
    "tomograms": 1, "particles": 24, "false_fraction": 0.4, "structured_fraction": 0.0, "diameter": 160.0, "width": 256,
    "thickness": 800.0, "crowding": 0.0, "min_distance": 200.0, "snr": 0.05, "tilt_step": 6.0, "threads": 2,
}  # fmt: skip


def extracted(root: Path, **changed: object) -> Path:
    """The optimisation set of an extraction of the sample."""
    make_sample(root, 3, **SAMPLE)
    options = ExtractOptions(optimisation_set=root / "optimisation_set.star", box_size=24, **{"source": "tomogram", **changed})
    return run_job("extract", options, project=root)[0].file("optimisation_set.star")


def classified(root: Path, optimisation_set: Path) -> Path:
    """The optimiser of a short classification."""
    options = ClassifyOptions(
        optimisation_set=optimisation_set, reference=root / "densities/apo.mrc", mask_diameter=190.0, local_range=15.0,
        offset_range=1.0, classes=1, iterations=3, initial_lowpass=50.0, device="cpu", folds=3,
    )  # fmt: skip
    return run_job("classify", options, project=root)[1].outputs["optimiser"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Root and optimiser of a classified sample; tests only add jobs to it."""
    root = tmp_path_factory.mktemp("assessed")
    return root, classified(root, extracted(root))
