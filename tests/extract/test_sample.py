"""A simulated sample, extracted and averaged at the true poses, is the density on its own grey scale; RELION 3.1 reads its format."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.extract import run
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.numerics.fourier import centred_fft, shells
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Silent
from napari_subtomo.reconstruct.average import average
from napari_subtomo.reconstruct.sums import solve
from napari_subtomo.simulate.project import make_sample

BOX = 32


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """One tomogram with few, well visible particles of one species, picked where they are."""
    root = tmp_path_factory.mktemp("sample")
    make_sample(
        root,
        seed=11,
        tomograms=1,
        particles=12,
        proportions=(1.0, 0.0),
        false_fraction=0.0,
        crowding=0.0,
        diameter=200.0,
        width=192,
        thickness=600.0,
        snr=5.0,
        noise_growth=0.0,
        prior_error=0.0,
        position_error=0.0,
    )
    return root


def extracted(root: Path, job: str, **options) -> ParticleSet:
    folder = JobFolder(Project(root), root / job)
    folder.path.mkdir(parents=True)
    given = {
        "normalize": False,
        "particles": root / "particles.star",
        "tomograms": root / "tomograms.star",
        "source": "tomogram",
        "box_size": BOX,
        **options,
    }
    return read_particles(run(ExtractOptions(**given), folder, Silent()).outputs["particles"])


def against_truth(average_map: np.ndarray, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Correlation and slope of each shell of a map to the true density, to 0.6 of Nyquist."""
    truth = read_mrc(root / "densities/holo.mrc")
    margin = (BOX - len(truth)) // 2
    truth = np.pad(truth, margin) if margin >= 0 else truth[(slice(-margin, margin),) * 3]
    ours, true, shell = centred_fft(average_map), centred_fft(truth), shells(BOX)
    products = [np.bincount(shell.ravel(), (a * b.conj()).real.ravel()) for a, b in ((ours, true), (ours, ours), (true, true))]
    cross, mine, his = (p[: int(0.3 * BOX)] for p in products)
    return cross / np.sqrt(mine * his), cross / his


@pytest.mark.parametrize(("job", "options"), [("full", {"float16": False}), ("half", {}), ("cut", {"box_size": 44, "crop_size": BOX})])
def test_the_weighted_average_is_the_density_on_its_own_grey_scale(sample, job, options):
    particles = extracted(sample, f"Extract/{job}", **options)
    source = open_subtomograms(particles, Project(sample))
    sums = average(source, particles.angles, np.zeros((source.n, 3)), np.zeros(source.n, int), device="cpu", threads=2, reporter=Silent())
    correlation, slope = against_truth(solve(sums[0], np.eye(3)[None], None), sample)
    assert correlation[1:].min() > 0.93
    assert slope[1:].min() > 0.8 and slope[1:].max() < 1.2
    assert abs(slope[2:].mean() - 1) < 0.08  # bright protein: positive


@pytest.mark.skipif(shutil.which("relion_refine") is None, reason="relion_refine is not installed")
def test_relion_refine_3_1_reads_volumes_and_ctfs_and_averages_them(sample):
    version = subprocess.run(["relion_refine", "--version"], capture_output=True, text=True, check=False).stdout
    if "version: 3" not in version:
        pytest.skip(f"these files are for RELION 3.1; here is {version.strip() or 'another'}")
    particles = extracted(sample, "Extract/relion31", output_format="relion31", normalize=True)
    write_particles(sample / "r31.star", particles)
    (sample / "Class3D").mkdir()
    truth = read_mrc(sample / "densities/holo.mrc")
    margin = (BOX - len(truth)) // 2
    reference = np.pad(truth, margin) if margin >= 0 else truth[(slice(-margin, margin),) * 3]
    write_mrc(sample / "reference.mrc", reference, 10.0)
    command = "relion_refine --i r31.star --ref reference.mrc --K 1 --iter 2 --skip_align --ctf --particle_diameter 260 --tau2_fudge 8"
    command += " --o Class3D/run --pad 2 --dont_combine_weights_via_disc --ini_high 40 --sym C1 --norm --scale --j 1"
    result = subprocess.run(command.split(), cwd=sample, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    correlation, slope = against_truth(read_mrc(sample / "Class3D/run_it002_class001.mrc"), sample)
    assert correlation[1:7].min() > 0.9
    assert slope[1:7].min() > 0
