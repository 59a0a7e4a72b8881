"""Our images and tomograms agree with an independent simulation and with RELION's own reconstruction of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from napari_subtomo.data.tomogram import TiltSeries
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.orientations import euler_to_matrix
from napari_subtomo.geometry.projection import defocus_offset, project, tilt_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.simulate.backproject import backproject
from napari_subtomo.simulate.images import Exposure, Optics, Slicer, tilt_image

SIZE = (256, 256)
TILTS = range(0, 41, 2)


@dataclass(frozen=True)
class Golden:
    """The golden tilt series: its geometry, true poses, densities and images."""

    series: TiltSeries
    frame: Frame
    positions: npt.NDArray[np.float64]
    matrices: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int64]
    maps: tuple[npt.NDArray[np.float32], ...]
    images: npt.NDArray[np.float32]
    hand: float = -1.0
    damped: bool = True

    def simulate(self) -> npt.NDArray[np.float32]:
        """Noise-free images on an arbitrary scale; that simulation did not scale its signal with the tilt."""
        slicers = [Slicer(m, 64) for m in self.maps]
        places, rotations = project(self.positions, self.series, self.frame, SIZE), tilt_matrices(self.series)
        s, out = self.series, []
        for t in TILTS:
            dose = s.dose[t] if self.damped else 0.0
            exposure = Exposure(s.defocus_u[t], s.defocus_v[t], s.defocus_angle[t], dose, 1.0)
            offsets = defocus_offset(places[t, :, 2], 10.0, self.hand)
            optics = Optics(300, 2.7, 0.1, 10.0)
            out.append(tilt_image(SIZE, slicers, self.kinds, rotations[t] @ self.matrices, places[t, :, :2], offsets, optics, exposure))
        return np.stack(out)

    def evidence(self, clean: npt.NDArray[np.float32], scale: float) -> float:
        """Log-likelihood of the images against pure noise, with its variance of 1 / cos(tilt)."""
        weight = np.cos(np.radians(self.series.y_tilt[TILTS]))[:, None, None]
        model = scale * clean
        return float((weight * (self.images[TILTS] * model - model**2 / 2)).sum(dtype=np.float64))


@pytest.fixture(scope="module")
def truth(shared: Path) -> Golden:
    root = shared / "golden" / "relion5"
    tomograms = read_tomograms(root / "tomograms.star", Project(root))
    series = tomograms.tilt_series("TS_01")
    table = read_star(root / "truth.star")["particles"]
    return Golden(
        series=series,
        frame=tomograms["TS_01"].frame,
        positions=np.stack([table.floats(label) for label in relion.CENTRED], axis=1),
        matrices=euler_to_matrix(np.stack([table.floats(label) for label in relion.ANGLES], axis=1)),
        kinds=table.ints("trueClass") - 1,
        maps=(read_mrc(root / "map_hsp60.mrc"), read_mrc(root / "map_atpase.mrc")),
        images=np.stack([read_mrc(path)[0] for path in series.image_paths]),
    )


@pytest.fixture(scope="module")
def correct(truth: Golden) -> tuple[npt.NDArray[np.float32], float]:
    """Our noise-free images and their scale against the golden ones."""
    clean = truth.simulate()
    return clean, float((clean * truth.images[TILTS]).sum() / (clean**2).sum())


def test_golden_images_are_our_images_plus_white_noise(truth: Golden, correct: tuple[npt.NDArray[np.float32], float]) -> None:
    clean, scale = correct
    assert scale > 0  # dark protein on both sides
    residual = truth.images[TILTS] - scale * clean
    growth = residual.var(axis=(1, 2)) * np.cos(np.radians(truth.series.y_tilt[TILTS]))
    np.testing.assert_allclose(growth, 1, atol=0.02)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    power = (np.abs(np.fft.fft2(residual)) ** 2 * np.cos(np.radians(truth.series.y_tilt[TILTS]))[:, None, None]).mean(axis=0) / 256**2
    rings = [power[(k >= low) & (k < low + 0.05)].mean() for low in np.arange(0, 0.5, 0.05)]
    np.testing.assert_allclose(rings, 1, atol=0.03)  # nothing of the signal is left at any frequency


def test_amplitudes_agree_at_all_frequencies_and_doses(truth: Golden, correct: tuple[npt.NDArray[np.float32], float]) -> None:
    clean, scale = correct
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    ours, theirs = np.fft.fft2(clean), np.fft.fft2(truth.images[TILTS])
    late = truth.series.dose[TILTS] > 60
    for images in late, ~late:
        for low, high in ((0.0, 0.1), (0.1, 0.2), (0.2, 0.3)):
            ring = (k >= low) & (k < high)
            a, b = ours[images][:, ring], theirs[images][:, ring]
            assert float((b * a.conj()).real.sum() / (np.abs(a) ** 2).sum()) == pytest.approx(scale, rel=0.08)


WRONG = {
    "tilt angles of the other sign": lambda g: replace(g, series=replace(g.series, y_tilt=-g.series.y_tilt)),
    "tilt axis of the other sign": lambda g: replace(g, series=replace(g.series, z_rot=-g.series.z_rot)),
    "tilt axis turned by half a turn": lambda g: replace(g, series=replace(g.series, z_rot=g.series.z_rot + 180)),
    "orientations transposed": lambda g: replace(g, matrices=np.swapaxes(g.matrices, 1, 2)),
    "z upside down": lambda g: replace(g, positions=g.positions * [1, 1, -1]),
    "x and y swapped": lambda g: replace(g, positions=g.positions[:, [1, 0, 2]]),
    "mirrored densities": lambda g: replace(g, maps=tuple(np.roll(m[::-1], 1, axis=0) for m in g.maps)),
    "no dose damping": lambda g: replace(g, damped=False),
    "one pixel to the right": lambda g: replace(g, series=replace(g.series, x_shift=g.series.x_shift + 10)),
    "half a pixel down": lambda g: replace(g, series=replace(g.series, y_shift=g.series.y_shift + 5)),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_of_geometry_lowers_the_likelihood(mistake: str, truth: Golden, correct: tuple[npt.NDArray[np.float32], float]) -> None:
    clean, scale = correct
    wrong = WRONG[mistake](truth).simulate()
    assert truth.evidence(wrong, scale) < truth.evidence(clean, scale) - 20


def test_the_other_hand_of_the_defocus_is_less_likely(truth: Golden, correct: tuple[npt.NDArray[np.float32], float]) -> None:
    clean, scale = correct
    other = replace(truth, hand=1.0).simulate()
    flat = replace(truth, hand=0.0).simulate()
    # depth changes the defocus by 3 % at most, so the evidence is small, but it is what theory expects
    expected = float((((clean - other) * scale) ** 2 * np.cos(np.radians(truth.series.y_tilt[TILTS]))[:, None, None]).sum() / 2)
    gain = truth.evidence(clean, scale) - truth.evidence(other, scale)
    assert gain > 2
    assert gain == pytest.approx(expected, abs=3 * np.sqrt(2 * expected))
    assert truth.evidence(clean, scale) > truth.evidence(flat, scale)


@pytest.fixture(scope="module")
def tomograms(truth: Golden, shared: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Ours and RELION's, binned by 2."""
    ours = backproject(truth.images, truth.series, Frame((256, 256, 96), 10.0, 2.0))
    return ours, read_mrc(shared / "golden" / "relion5" / "RecTomo" / "tomograms" / "rec_TS_01.mrc")


def ring_correlations(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> list[float]:
    """Fourier correlation in rings of frequency 0.05 … 0.45 per voxel."""
    fa, fb = np.fft.fftn(a), np.fft.fftn(b)
    z, y, x = np.meshgrid(*(np.fft.fftfreq(n) for n in a.shape), indexing="ij")
    ring = (np.sqrt(x**2 + y**2 + z**2) / 0.1).astype(int)
    cross, pa, pb = ((fa * fb.conj()).real, np.abs(fa) ** 2, np.abs(fb) ** 2)
    return [float(cross[ring == i].sum() / np.sqrt(pa[ring == i].sum() * pb[ring == i].sum())) for i in range(5)]


def test_our_tomogram_is_relions_up_to_the_weighting_of_frequencies(
    tomograms: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
) -> None:
    ours, relions = tomograms
    assert ours.shape == relions.shape
    assert min(ring_correlations(ours, relions)) > 0.75
    for wrong in (ours[:, :, ::-1], ours[:, ::-1], ours[::-1], np.swapaxes(ours, 1, 2)):
        assert max(ring_correlations(wrong, relions)[1:]) < 0.1  # the first ring holds the slab itself


def test_our_tomogram_lies_on_relions_within_a_twentieth_of_a_voxel(
    tomograms: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
) -> None:
    ours, relions = (np.fft.fftn(volume) for volume in tomograms)
    peak = np.fft.ifftn(ours * relions.conj()).real
    at = np.unravel_index(int(peak.argmax()), peak.shape)
    assert at == (0, 0, 0)
    for axis in range(3):
        left, right = (np.roll(peak, shift, axis=axis)[0, 0, 0] for shift in (1, -1))
        assert abs(right - left) / (2 * (2 * peak[0, 0, 0] - left - right)) < 0.05
