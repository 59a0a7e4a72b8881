"""Low frequencies of padded transforms by products with matrices, against fast transforms."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from napari_subtomo.numerics import backend
from napari_subtomo.numerics.few_nodes import even_low_frequencies, low_frequencies, map_of, rim_at_both_ends
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.padded_grid import PaddedGrid


def of_cube(size: int, edge: int) -> tuple[Any, ...]:
    """Places of the nodes of a cube about the origin in a padded half transform."""
    wrapped = np.rint(np.fft.fftfreq(edge, 1 / edge)).astype(int) % size
    return np.ix_(wrapped, wrapped, np.arange(edge // 2 + 1))


def padded(volume: np.ndarray, size: int) -> np.ndarray:
    """Transform of a map about its centre n // 2, padded."""
    return np.fft.rfftn(np.fft.ifftshift(resize_centred(volume.astype(np.float64), (size,) * 3)))


@pytest.mark.parametrize("n", [11, 12])
@pytest.mark.parametrize("edge", [6, 10, 16])
def test_low_frequencies_are_those_of_the_padded_box(n: int, edge: int) -> None:
    volumes = np.random.default_rng(1).normal(size=(2, n, n, n)).astype(np.float32)  # signal up to the rim of the box
    expected = np.stack([padded(volume, 2 * n)[of_cube(2 * n, edge)] for volume in volumes])
    found = low_frequencies(volumes, 2 * n, edge)
    assert found.dtype == np.complex64 and found.shape == (2, edge, edge, edge // 2 + 1)
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(low_frequencies(volumes[1], 2 * n, edge), found[1], atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("n", [11, 12])
@pytest.mark.parametrize("edge", [6, 16])
def test_low_frequencies_of_a_map_that_is_the_same_at_opposite_positions(n: int, edge: int) -> None:
    spectrum = np.random.default_rng(4).normal(size=(n, n, n // 2 + 1))  # real, up to the rim of the box
    volume = np.fft.fftshift(np.fft.irfftn(spectrum, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
    expected = padded(rim_at_both_ends(volume), 2 * n)[of_cube(2 * n, edge)]
    np.testing.assert_allclose(expected.imag, 0, atol=1e-6 * np.abs(expected).max())
    expected = expected.real
    found = even_low_frequencies(volume, 2 * n, edge)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
    several = even_low_frequencies(np.stack([volume, 2 * volume]), 2 * n, edge)
    np.testing.assert_allclose(several, [found, 2 * found], atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("n", [11, 12])
def test_a_map_is_the_inverse_of_the_nodes_alone(n: int) -> None:
    edge, size = 10, 2 * n
    whole = np.zeros((size, size, n + 1), complex)
    inside = of_cube(size, edge)
    some = padded(np.random.default_rng(2).normal(size=(n, n, n)), size)[inside]
    # a cube of even edge has one node more on one side: the mate of a plane that is left out is zero
    some[edge // 2], some[:, edge // 2], some[:, :, -1] = 0, 0, 0
    whole[inside] = some
    expected = resize_centred(np.fft.fftshift(np.fft.irfftn(whole, s=(size,) * 3, axes=(0, 1, 2))), n)
    np.testing.assert_allclose(map_of(some, n, size), expected, atol=2e-5 * np.abs(expected).max())


def test_a_limited_grid_has_the_values_of_the_whole_one() -> None:
    volume = np.random.default_rng(3).normal(size=(24, 24, 24)).astype(np.float32)
    whole, few = PaddedGrid(24), PaddedGrid(24).up_to(6)
    assert few.edge < whole.edge
    expected = whole.transform(volume)[of_cube(whole.size, few.edge)]
    np.testing.assert_allclose(few.transform(volume), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
def test_freed_memory_is_kept_only_where_that_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(backend, "_of_glibc", lambda name: lambda *option: asked.append(option))
    backend.keep_freed_memory()
    assert {option for option, _ in asked} == {-1, -3} and all(0 < size < 2**31 for _, size in asked)
    monkeypatch.setattr(backend, "_of_glibc", lambda name: None)
    backend.keep_freed_memory()  # another system: nothing to ask
    assert len(asked) == 2
