"""Arrays of a GPU never meet arrays of the host unasked, on the first GPU as on others; shown with a stand-in that refuses."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import extract_world, strict_cupy

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import device_checks

from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.numerics.backend import device_context, namespace, resolve_device, to_device, to_host


@pytest.fixture
def device():
    with strict_cupy.installed():
        yield "cuda:1"


def test_the_stand_in_refuses_what_cupy_refuses(device):
    there, here = to_device(np.ones(4, np.float32), device), np.ones(4, np.float32)
    with device_context(device):
        for mixing in (
            lambda: there + here,
            lambda: here * there,
            lambda: here @ there,
            lambda: namespace(there).where(here > 0, there, 0),
        ):
            with pytest.raises(TypeError, match="Unsupported type"):
                mixing()
        with pytest.raises(TypeError, match="Implicit conversion"):
            np.asarray(there)
        with pytest.raises(TypeError, match="Unsupported"):
            there[np.arange(2)]
        with pytest.raises(ValueError, match="C-contiguous"):
            to_device(np.ones((4, 2), np.float32, order="F"), device).T.copy().T.view(np.complex64)
        np.testing.assert_array_equal(to_host(np.exp(there * np.float32(2))), np.exp(2 * here))
    with pytest.raises(ValueError, match="current device"):
        there + 1
    assert resolve_device("auto") == "cuda:0" and namespace(there) is sys.modules["cupy"]


@pytest.mark.parametrize("check", device_checks.CHECKS, ids=lambda check: check.name)
def test_the_device_computes_what_numpy_computes(device, check):
    verdict = device_checks.compare(check, device)
    assert verdict.passed, verdict


def test_a_job_on_the_second_gpu_writes_what_the_processor_writes(device, tmp_path):
    world = extract_world.World(tmp_path)
    defocus = np.full(len(extract_world.USUAL), 3e4)
    volume = np.random.default_rng(4).standard_normal((40, 48, 44)).astype(np.float32)
    world.tomogram("TS_1", volume, columns={relion.DEFOCUS_U: defocus, relion.DEFOCUS_V: defocus})
    world.particles(["TS_1"] * 3, [[0.0, 0, 0], [33.0, -21, 12], [-60, 14, -30]])
    for name, where in (("here", "cpu"), ("there", device)):
        world.extract(f"Extract/{name}", box_size=16, device=where, threads=2)
    files = sorted((tmp_path / "Extract/here/Subtomograms").rglob("*.mrc"))
    assert len(files) == 6
    for path in files:
        other = tmp_path / "Extract/there" / path.relative_to(tmp_path / "Extract/here")
        np.testing.assert_array_equal(read_mrc(path), read_mrc(other))
