"""The made-up densities look like proteins, and own maps keep their place and shape."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from napari_subtomo.errors import FileFormatError, OptionError
from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.numerics.fourier import centred_fft, lowpass, radial_mean
from napari_subtomo.numerics.masks import radius_grid
from napari_subtomo.numerics.rotate import rotate_volume
from napari_subtomo.simulate.densities import Complex, build_complex, gold_bead, membrane_piece, render
from napari_subtomo.simulate.maps import read_density, resample

Volume = npt.NDArray[np.float32]


def spectrum(volume: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.asarray(radial_mean(np.abs(centred_fft(volume)) ** 2))


def correlation(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def gaussian(n: int, voxel: float, centre_xyz: tuple[float, float, float], sigma: float) -> Volume:
    """A blob at a place in Å from index n // 2."""
    axis = (np.arange(n) - n // 2) * voxel
    x, y, z = (np.exp(-((axis - c) ** 2) / (2 * sigma**2)) for c in centre_xyz)
    return (z[:, None, None] * y[None, :, None] * x[None, None, :]).astype(np.float32)


@pytest.fixture(scope="module")
def made_up() -> Complex:
    return build_complex(320.0, 0.12, 1)


@pytest.fixture(scope="module")
def whole(made_up: Complex) -> Volume:
    return render(np.concatenate([made_up.core, made_up.domain]), 48, 10.0)


@pytest.mark.parametrize("seed", [1, 2, 7])
@pytest.mark.parametrize("fraction", [0.1, 0.12, 0.15])
def test_the_domain_has_the_wanted_share_of_the_mass_and_the_size_stays(seed: int, fraction: float) -> None:
    one = build_complex(320.0, fraction, seed)
    assert len(one.domain) / (len(one.core) + len(one.domain)) == pytest.approx(fraction, abs=1e-4)
    core, both = (np.percentile(np.linalg.norm(p, axis=1), 99) for p in (one.core, np.concatenate([one.core, one.domain])))
    assert 2 * core > 0.8 * 320 and 2 * both < 1.1 * 320
    assert both < 1.06 * core  # one size: the domain does not stick out


def test_the_same_seed_gives_the_same_complex(made_up: Complex) -> None:
    again, other = build_complex(320.0, 0.12, 1), build_complex(320.0, 0.12, 2)
    np.testing.assert_array_equal(made_up.core, again.core)
    assert len(other.core) != len(made_up.core)


def test_the_mass_is_that_of_the_residues(made_up: Complex) -> None:
    assert render(made_up.core, 48, 10.0).sum() == pytest.approx(len(made_up.core), rel=1e-3)


def test_rendering_puts_a_residue_where_it_is() -> None:
    density = render(np.array([[31.0, -22.0, 53.0]]), 48, 10.0, b_factor=20000.0)
    axis = (np.arange(48) - 24) * 10.0
    weights = density / density.sum()
    centre = [float((weights.sum(axis=other) * axis).sum()) for other in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(centre, [31.0, -22.0, 53.0], atol=0.3)


def test_it_is_compact(whole: Volume) -> None:
    r = radius_grid(whole.shape)
    assert whole[r > 18].max() < 0.05 * whole.max()
    assert whole[r > 18].sum() < 0.01 * whole.sum()
    assert (whole > 0.3 * whole.max()).sum() > 0.2 * 4 / 3 * np.pi * 16**3


def test_it_has_no_symmetry(whole: Volume) -> None:
    map40 = lowpass(whole, 10.0, 40.0) - lowpass(whole, 10.0, 120.0)
    flips = [np.roll(map40[::-1], 1, axis=0), np.roll(map40[:, :, ::-1], 1, axis=2)]
    turned = [rotate_volume(map40, m) for m in random_matrices(10, np.random.default_rng(0))]
    axes = [rotate_volume(map40, m) for m in (np.diag([-1, -1, 1]), np.diag([-1, 1, -1]), np.diag([1, -1, -1]))]
    assert max(correlation(map40, other) for other in (*flips, *turned, *axes)) < 0.5


def test_its_spectrum_falls_like_that_of_real_averages(whole: Volume, shared: Path) -> None:
    frequency = np.arange(25) / 480

    def fall(volume: Volume, low: float, high: float) -> float:
        """Orders of magnitude between the power at 100 to 50 Å and that between two frequencies."""
        power = spectrum(volume)
        mean = [power[(frequency >= a) & (frequency < b)].mean() for a, b in ((0.01, 0.02), (low, high))]
        return float(np.log10(mean[0] / mean[1]))

    paths = [shared / "data" / "maps" / f"{name}.mrc" for name in ("hsp60", "atpase", "putative_prohibitin")]
    real = [read_density(path, 10.0, 48, 300.0) for path in paths]
    for low, high in ((0.02, 0.03), (0.03, 0.04), (0.04, 0.05)):
        theirs = [fall(volume, low, high) for volume in real]
        assert min(theirs) - 0.2 < fall(whole, low, high) < max(theirs) + 0.2


def test_its_spectrum_falls_from_shell_to_shell(whole: Volume) -> None:
    assert (np.diff(np.log(spectrum(whole)[1:24:3])) < -0.2).all()


def test_species_differ_by_the_domain_only(made_up: Complex, whole: Volume) -> None:
    core = render(made_up.core, 48, 10.0)
    np.testing.assert_allclose(whole - core, render(made_up.domain, 48, 10.0), atol=1e-3 * whole.max())
    assert 0.9 < correlation(whole, core) < 0.98


def test_domains_lie_apart_and_have_one_size() -> None:
    several = build_complex(320.0, 0.12, 1, domains=3)
    assert len({len(domain) for domain in several.domains}) == 1
    assert len(several.domain) / (len(several.core) + len(several.domain)) == pytest.approx(0.12, abs=1e-4)
    centres = [domain.mean(axis=0) for domain in several.domains]
    radius = np.percentile(np.linalg.norm(several.domain - centres[0], axis=1), 90)
    assert all(np.linalg.norm(a - b) > 1.6 * radius for a, b in combinations(centres, 2))
    assert 2 * np.percentile(np.linalg.norm(several.core, axis=1), 99) > 0.8 * 320


def test_domains_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match=r"fit side by side on a complex of 320 Å.*smaller --domain-fraction or fewer species"):
        build_complex(320.0, 0.5, 1, domains=5)


def test_beads_are_round_and_dense_and_membranes_have_two_leaflets(whole: Volume) -> None:
    bead, membrane = gold_bead(48, 10.0), membrane_piece(48, 10.0, 320.0)
    assert bead.max() > 3 * whole.max()
    assert correlation(bead, np.swapaxes(bead, 0, 2)) > 0.999
    profile = membrane[:, 24, 24]
    assert profile[22] > 2 * profile[24] < profile[26] / 2 + profile[26]
    assert membrane.max() < 2 * whole.max()


def test_resampling_keeps_a_blob_in_place_and_on_its_grey_scale() -> None:
    source, target = gaussian(64, 7.84, (40.0, -25.0, 60.0), 30.0), gaussian(50, 10.0, (40.0, -25.0, 60.0), 30.0)
    np.testing.assert_allclose(resample(source, 7.84, 10.0, 50), target, atol=0.01)


def test_resampling_to_larger_pixels_does_not_alias() -> None:
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((64, 64, 64)).astype(np.float32)
    coarse = resample(noise, 5.0, 10.0, 32)
    expected = resample(np.asarray(lowpass(noise, 5.0, 20.0)), 5.0, 10.0, 32)
    np.testing.assert_allclose(coarse, expected, atol=0.15)
    assert coarse.var() < 0.12  # an eighth of the sphere's share of the noise is left


def test_an_own_map_is_freed_of_its_background_and_masked(tmp_path: Path) -> None:
    write_mrc(tmp_path / "blob.mrc", gaussian(60, 8.0, (20.0, 0.0, 0.0), 40.0) + 5, 8.0)
    density = read_density(tmp_path / "blob.mrc", 10.0, 40, 260.0)
    assert density.shape == (40, 40, 40)
    assert float((density.astype(float) ** 2).mean()) == pytest.approx(1, rel=1e-4)
    assert (density[radius_grid(density.shape) > 16.5] == 0).all()
    assert np.unravel_index(int(density.argmax()), density.shape) == (20, 20, 22)


def test_a_real_average_survives_resampling(shared: Path) -> None:
    path = shared / "data" / "maps" / "hsp60.mrc"
    back = resample(read_density(path, 10.0, 48, 300.0), 10.0, 7.84, 48)
    smooth = [lowpass(m, 7.84, 25.0)[radius_grid((48, 48, 48)) < 16] for m in (back, read_mrc(path))]
    assert correlation(*smooth) > 0.98


@pytest.mark.parametrize(
    ("shape", "voxel", "words"), [((20, 20, 20), 0.0, "voxel size"), ((20, 20, 24), 8.0, "cubic"), ((20, 20, 20), 8.0, "same value")]
)
def test_a_useless_map_is_refused_in_one_sentence(tmp_path: Path, shape: tuple[int, int, int], voxel: float, words: str) -> None:
    write_mrc(tmp_path / "map.mrc", np.ones(shape, np.float32), voxel)
    with pytest.raises(FileFormatError, match=words):
        read_density(tmp_path / "map.mrc", 10.0, 20, 150.0)
