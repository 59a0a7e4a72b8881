"""Pure noise and a real reference: the program says that there is no signal, and the average of its result has none to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.terminal import succeed

from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.jobs.record import read_record

pytestmark = pytest.mark.slow
LOWPASS, BOX, PIXEL = 60.0, 48, 10.0


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """16 boxes of noise, classified with the density of a species as reference, and what the classification said."""
    root = tmp_path_factory.mktemp("noise") / "project"
    sample = "--tomograms 2 --particles 8 --width 192 --thickness 800 --tilt-step 6 --snr 1e-9 --false-fraction 0 --seed 5"
    succeed(f"simulate {root} {sample}", root.parent)
    succeed("extract --from tomogram --optimisation-set optimisation_set.star --box-size 48 -o Extract/job001", root)
    said = succeed(
        "classify --optimisation-set Extract/job001/optimisation_set.star --reference densities/holo.mrc --classes 2 --iterations 6"
        f" --mask-diameter 380 --initial-lowpass {LOWPASS} --local-range 15 --offset-range 3 -o Class3D/job002",
        root,
    ).err
    succeed("reconstruct --optimisation-set Class3D/job002/run_it006_optimisation_set.star -o Reconstruct/job003", root)
    return root, said


def test_classification_says_that_there_is_no_signal(noise: tuple[Path, str]) -> None:
    root, said = noise
    assert "WARNING: No signal" in said
    assert read_record(root / "Class3D/job002").numbers["signal"] is False


def test_halves_agree_nowhere_beyond_the_initial_low_pass(noise: tuple[Path, str]) -> None:
    root, _ = noise
    table = read_star(root / "Reconstruct/job003/fsc.star")["fsc"]
    shell, curve = table.ints("rlnSpectralIndex"), table.floats("rlnFourierShellCorrelationUnmaskedMaps")
    beyond = shell > np.ceil(BOX * PIXEL / LOWPASS)
    assert beyond.sum() == 16
    assert curve[beyond].max() < 0.143
    found, given = (read_particles(root / name) for name in ("Class3D/job002/run_it006_data.star", "particles.star"))
    assert np.linalg.norm(found.positions() - given.positions(), axis=1).max() > 5  # poses were fitted to the noise


def test_a_sample_with_signal_is_not_called_noise(noise: tuple[Path, str], coarse: Path) -> None:
    succeed("extract --from tomogram --optimisation-set optimisation_set.star --box-size 24 -o Extract/job001", coarse)
    said = succeed(
        "classify --optimisation-set Extract/job001/optimisation_set.star --reference densities/holo.mrc --classes 1 --iterations 4"
        " --mask-diameter 380 --initial-lowpass 120 --local-range 15 --offset-range 1 -o Class3D/job002",
        coarse,
    ).err
    assert "signal" not in said
    assert read_record(coarse / "Class3D/job002").numbers["signal"] is True
