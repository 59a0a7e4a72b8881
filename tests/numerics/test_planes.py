"""Insertion of planes into a Fourier grid, against a loop over all voxels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.numerics import planes
from napari_subtomo.numerics.planes import PlaneSums

BOX = 12
HALF = BOX // 2 + 1
RNG = np.random.default_rng(4)
MATRICES = np.concatenate([random_matrices(3, RNG), np.eye(3)[None], np.eye(3)[[1, 2, 0]][None]])  # two of them along the grid


def slices(m: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and weights within the Nyquist circle; on the column k_x = 0 both mates agree, as in transforms of images."""
    images = RNG.standard_normal((m, BOX, BOX))
    kx, ky = np.meshgrid(np.arange(HALF), np.fft.fftfreq(BOX, 1 / BOX))
    inside = kx**2 + ky**2 <= (BOX / 2) ** 2
    weights = (1 + np.cos(0.3 * np.hypot(kx, ky))) * inside
    return (np.fft.rfft2(images) * inside).astype(np.complex64), np.broadcast_to(weights, (m, BOX, HALF)).astype(np.float32)


def by_hand(values: np.ndarray, weights: np.ndarray, matrices: np.ndarray, reach: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Every voxel and every slice, one after the other; up to Nyquist."""
    total, sums = np.zeros((BOX, BOX, HALF), complex), np.zeros((BOX, BOX, HALF))

    def value(image: np.ndarray, x: int, y: int) -> complex:
        return image[y % BOX, x] if x >= 0 else np.conj(image[-y % BOX, -x])

    for image, weight, matrix, limit in zip(values, weights, matrices, reach, strict=True):
        for z in range(-BOX // 2, BOX // 2):
            for y in range(-BOX // 2, BOX // 2):
                for x in range(HALF):
                    k = np.array([x, y, z])
                    u, v, distance = matrix @ k
                    if abs(distance) >= 1 or np.linalg.norm(k) > min(limit, BOX / 2 - 1e-6):
                        continue
                    low_u, low_v = int(np.floor(u)), int(np.floor(v))
                    for du in (0, 1):
                        for dv in (0, 1):
                            share = (1 - abs(u - low_u - du)) * (1 - abs(v - low_v - dv)) * (1 - abs(distance))
                            total[z, y, x] += share * value(image, low_u + du, low_v + dv)
                            sums[z, y, x] += share * np.real(value(weight, low_u + du, low_v + dv))
    return total, sums


def inner(volume: np.ndarray) -> np.ndarray:
    """Voxels within the Nyquist sphere."""
    wrapped = np.fft.fftfreq(BOX, 1 / BOX)
    z, y, x = np.meshgrid(wrapped, wrapped, np.arange(HALF), indexing="ij")
    return volume[x**2 + y**2 + z**2 < (BOX / 2) ** 2]


@pytest.mark.parametrize("reach", [None, [7, 3, 1, 5, 0]], ids=["all", "limited by dose"])
@pytest.mark.parametrize("chunk", [1, 2**16])
def test_each_voxel_takes_what_lies_at_its_foot(monkeypatch: pytest.MonkeyPatch, reach: list[int] | None, chunk: int) -> None:
    monkeypatch.setitem(planes._CHUNK, True, chunk)
    values, weights = slices(len(MATRICES))
    sums = PlaneSums.zero(BOX, dtype=np.float64)
    sums.insert(values, weights, MATRICES, None if reach is None else np.array(reach))
    total, expected = by_hand(values, weights, MATRICES, reach or [HALF] * len(MATRICES))
    np.testing.assert_allclose(inner(sums.values), inner(total), atol=2e-4)
    np.testing.assert_allclose(inner(sums.weights), inner(expected), atol=1e-5)


def test_the_plane_of_mates_is_its_own_mirror_image() -> None:
    values, weights = slices(3)
    sums = PlaneSums.zero(BOX)
    sums.insert(values, weights, MATRICES[:3])
    plane = sums.values[:, :, 0]
    wrapped = np.fft.fftfreq(BOX, 1 / BOX)
    inside = np.hypot(wrapped[:, None], wrapped) < BOX / 2
    mate = np.roll(plane[::-1, ::-1], 1, (0, 1)).conj()
    np.testing.assert_allclose(plane[inside], mate[inside], atol=1e-4)


def test_sums_add_up() -> None:
    values, weights = slices(4)
    both, one, other = (PlaneSums.zero(BOX, dtype=np.float64) for _ in range(3))
    both.insert(values, weights, MATRICES[:4])
    one.insert(values[:1], weights[:1], MATRICES[:1])
    other.insert(values[1:], weights[1:], MATRICES[1:4])
    one.add(other)
    np.testing.assert_allclose(one.columns, both.columns, atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    values, weights = slices(2)
    with pytest.raises(GeometryError, match="even box, found 7"):
        PlaneSums.zero(7)
    with pytest.raises(GeometryError, match=r"Expected slices of shape \(2, 16, 9\)"):
        PlaneSums.zero(16).insert(values, weights, MATRICES[:2])
    with pytest.raises(GeometryError):
        PlaneSums.zero(BOX).insert(values, weights, MATRICES)
