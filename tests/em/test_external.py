"""An outside program makes the references: what it is given is what ours are made of, what comes back is used, and it may go wrong."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import em_world as world_of
from helpers.em_files import dividing_program

from napari_subtomo.em import maximisation
from napari_subtomo.em.external import External, external_references
from napari_subtomo.em.maximisation import Maximiser
from napari_subtomo.em.statistics import Sums
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import read_star
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

RELION = "relion_external_reconstruct"
N, FOLDS, SHELLS, PIXEL = 24, 3, 13, 10.0
NOISE = np.linspace(300.0, 20.0, SHELLS)
#: of one class: programs take the envelope for a function of the radius; of several: T is 1000 and not endless
CLOSE = {1: 2e-4, 2: 4e-4}


@pytest.fixture
def divides(tmp_path: Path) -> tuple[str, ...]:
    """The program of the documentation, which divides and does nothing else."""
    return tuple(shlex.split(dividing_program(tmp_path)))


@pytest.fixture
def maximiser() -> Maximiser:
    return Maximiser(PaddedGrid(N), soft_sphere(N, 8, 2), 9, SHELLS)


def folder_of(tmp_path: Path) -> JobFolder:
    (tmp_path / "Class3D/job001").mkdir(parents=True)
    return JobFolder(Project(tmp_path), tmp_path / "Class3D/job001")


def sums(grid: PaddedGrid, classes: int) -> Sums:
    """Sums of similar densities by fold and class; weights are of the order of the regularisation, differ from node to node and have an
    empty wedge."""
    rng = np.random.default_rng(3)
    shape = FOLDS, classes, *grid.shape
    maps = [world_of.render(world_of.density(grid.n, seed=1 + c), grid.n) for c in range(classes)]
    wide = np.abs(np.fft.fftfreq(grid.edge, 1 / grid.edge))
    wedge = wide[:, None, None] <= 2 * np.hypot(wide[None, :, None], np.arange(grid.shape[2])[None, None])
    denominator = (rng.uniform(0.05, 0.5, shape) * wedge).astype(np.float32)
    numerator = np.stack([np.stack([grid.transform(m) for m in maps]) for _ in range(FOLDS)])
    noise = rng.normal(size=(FOLDS, classes, grid.n, grid.n, grid.n)).astype(np.float32) * 0.05
    numerator = (numerator + np.stack([[grid.transform(m) for m in fold] for fold in noise])) * denominator
    return Sums(numerator.astype(np.complex64), denominator)


def references(
    external: External, maximiser: Maximiser, given: Sums, shrink_to: str = "consensus", same: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Our references and those of a program from the same sums; with `same`, their noise must agree where both have some."""
    options = ClassifyOptions(reference="none.mrc", mask_diameter=160, shrink_to=shrink_to, regularisation=2.0)
    ours = maximiser.references(given, NOISE, options.regularisation, shrink_to)
    theirs = external_references(external, maximiser, given, NOISE, options, PIXEL, 1, Silent())
    shells = slice(1, maximiser.last_shell)
    if same and shrink_to == "consensus":
        assert maximiser.map_noise(theirs)[:, shells] == pytest.approx(maximiser.map_noise(ours)[:, shells], rel=0.02)
    return ours, theirs


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """R.m.s. of the difference in units of the r.m.s. of the first."""
    return float(np.sqrt(((a - b) ** 2).sum() / (a**2).sum()))


@pytest.mark.parametrize("limit", [None, 6])
@pytest.mark.parametrize("classes", [1, 2])
def test_a_program_that_divides_makes_our_own_references(tmp_path: Path, divides: tuple[str, ...], classes: int, limit: int | None) -> None:
    maximiser = Maximiser(PaddedGrid(N, limit=limit), soft_sphere(N, 8, 2), limit or 9, SHELLS)
    external = External(divides, folder_of(tmp_path), 160.0)
    ours, theirs = references(external, maximiser, sums(maximiser.grid, classes))
    assert difference(ours, theirs) < CLOSE[classes]
    assert difference(ours, np.roll(ours, 1, axis=0)) > 20 * difference(ours, theirs)  # no fold has that of another


def test_what_stays_is_the_mean_of_the_folds(tmp_path: Path, divides: tuple[str, ...], maximiser: Maximiser) -> None:
    external = External(divides, folder_of(tmp_path), 160.0)
    _, theirs = references(external, maximiser, sums(maximiser.grid, 2))
    for c in (0, 1):
        kept = read_mrc(external.folder.file(f"run_it001_class{c + 1:03d}_external_reconstruct.mrc"))
        assert kept == pytest.approx(theirs[:, c].mean(0), abs=1e-6)
    assert len(list(external.folder.path.glob("*external_reconstruct*"))) == 2


@pytest.mark.parametrize("classes", [1, 2])
def test_particles_that_stay_in_one_orientation_lose_no_envelope(tmp_path: Path, divides: tuple[str, ...], classes: int) -> None:
    maximiser = Maximiser(PaddedGrid(N, 1, exact=True), soft_sphere(N, 8, 2), 9, SHELLS)
    external = External(divides, folder_of(tmp_path), 160.0)
    ours, theirs = references(external, maximiser, sums(maximiser.grid, classes), same=False)
    # an envelope taken out that is not there would be 4 % at half the mask's radius, and 15 % at its edge
    assert difference(ours, theirs) < 0.02


def test_a_class_of_its_own_is_sent_once_for_all_folds(
    tmp_path: Path, divides: tuple[str, ...], maximiser: Maximiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    # RELION spares the first shells its filter where it makes the map itself, and programs know nothing of that
    monkeypatch.setattr(maximisation, "UNREGULARISED_SHELLS", 0)
    external = External(divides, folder_of(tmp_path), 160.0)
    ours, theirs = references(external, maximiser, sums(maximiser.grid, 2), "own")
    assert external.folder.file("run.out").read_text().count(".star") == 2
    assert np.array_equal(theirs[0], theirs[2])
    assert difference(ours, theirs) < CLOSE[1]


def test_a_class_without_particles_stays_zero_and_is_not_sent(tmp_path: Path, divides: tuple[str, ...], maximiser: Maximiser) -> None:
    external = External(divides, folder_of(tmp_path), 160.0)
    given = sums(maximiser.grid, 2)
    given.numerator[:, 1], given.denominator[:, 1] = 0, 0
    _, theirs = references(external, maximiser, given, "own")
    assert theirs[:, 0].any() and not theirs[:, 1].any()
    assert external.folder.file("run.out").read_text().count(".star") == 1


def test_the_star_file_is_relions(tmp_path: Path, maximiser: Maximiser) -> None:
    program = tmp_path / "stop"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    external = External((str(program),), folder_of(tmp_path), 160.0)
    with pytest.raises(Exception, match="exit status 1"):
        references(external, maximiser, sums(maximiser.grid, 1))
    star = read_star(external.folder.file("run_it001_class001_external_reconstruct.star"))
    general, spectra = star[r.EXTERNAL_GENERAL], star[r.EXTERNAL_TAU2]
    # the order and the names of a file of RELION 3.1.3, then what RELION 5 adds
    assert general.labels[:10] == (
        "rlnExtReconsDataReal",
        "rlnExtReconsDataImag",
        "rlnExtReconsWeight",
        "rlnExtReconsResult",
        "rlnExtReconsResultStarfile",
        "rlnTau2FudgeFactor",
        "rlnPaddingFactor",
        "rlnReferenceDimensionality",
        "rlnOriginalImageSize",
        "rlnCurrentImageSize",
    )
    assert general.labels[10:] == ("rlnPixelSize", "rlnParticleDiameter")
    assert general.ints("rlnOriginalImageSize")[0] == N and general.ints("rlnCurrentImageSize")[0] == 20
    assert general.texts("rlnExtReconsResult") == ("Class3D/job001/run_it001_class001_external_reconstruct.mrc",)
    assert spectra.labels == ("rlnSpectralIndex", "rlnReferenceTau2", "rlnGoldStandardFsc")
    tau2 = np.array(spectra.floats("rlnReferenceTau2"))
    assert len(tau2) == N // 2 + 1 and np.all(tau2[:11] > 0) and not tau2[11:].any()
    weight = read_mrc(tmp_path / general.texts("rlnExtReconsWeight")[0])
    assert weight.shape == (2 * N, 2 * N, N + 1)


@pytest.mark.skipif(shutil.which(RELION) is None, reason=f"{RELION} is not installed")
@pytest.mark.parametrize("classes", [1, 2])
def test_relions_own_program_makes_our_references(tmp_path: Path, maximiser: Maximiser, classes: int) -> None:
    program = tmp_path / "relion"  # which wants the name of the file before its options
    program.write_text(f'#!/bin/sh\nexec {RELION} "$1" --skip_gridding\n')
    program.chmod(0o755)
    external = External((str(program),), folder_of(tmp_path), 160.0)
    ours, theirs = references(external, maximiser, sums(maximiser.grid, classes))
    assert difference(ours, theirs) < CLOSE[classes]


@pytest.mark.skipif(shutil.which(RELION) is None, reason=f"{RELION} is not installed")
def test_relions_iterated_weights_are_about_right_in_scale(tmp_path: Path, maximiser: Maximiser) -> None:
    external = External((RELION,), folder_of(tmp_path), 160.0)
    ours, theirs = references(external, maximiser, sums(maximiser.grid, 1), same=False)
    assert 0.9 < (ours * theirs).sum() / (ours**2).sum() < 1.1
    assert difference(ours, theirs) < 0.15
