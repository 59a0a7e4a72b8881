"""Compiled loops against arrays: interpolation both ways, transforms, and what happens where they are not to be had."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers.no_loops import without_loops

from napari_subtomo.numerics import backend, loops
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation, sample, squared


def some_values(rng: np.random.Generator, complex_ones: bool, *shape: int) -> np.ndarray:
    values = rng.normal(size=shape).astype(np.float32)
    return (values + 1j * rng.normal(size=shape)).astype(np.complex64) if complex_ones else values


@pytest.mark.parametrize("complex_ones", [True, False])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("limit", [None, 4])
def test_interpolation_has_the_bits_of_sparse_products(
    monkeypatch: pytest.MonkeyPatch, complex_ones: bool, copies: int, limit: int | None
) -> None:
    rng, grid = np.random.default_rng(1), PaddedGrid(12, limit=limit)
    points = rng.uniform(-3, 3, (42, 3)).astype(np.float32)
    points[:5] = [[0, 0, 0], [-0.5, 0.5, 1], [3, -3, 0], [0, -0.25, -0.25], [-1, 2, -3]]  # on nodes, between them, in both halves
    columns = some_values(rng, complex_ones, copies * grid.nodes, 2)
    values = some_values(rng, complex_ones, len(points), 2)
    compiled = Interpolation(grid, points, copies)
    assert compiled.loops is not None
    found = compiled.gather(columns), compiled.scatter(values)
    into = np.zeros((4, 2, len(points)), columns.dtype)[1].T
    assert compiled.gather(columns, into) is into
    np.testing.assert_array_equal(into, found[0])
    without_loops(monkeypatch)
    sparse = Interpolation(grid, points, copies)
    assert sparse.loops is None
    for a, b in zip(found, (sparse.gather(columns), sparse.scatter(values)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(sparse.gather(columns, np.zeros_like(found[0])), found[0])


def test_samples_and_powers_have_the_bits_of_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, grid = np.random.default_rng(2), PaddedGrid(12)
    points = rng.uniform(-3, 3, (40, 3)).astype(np.float32)
    transforms = some_values(rng, True, *grid.shape), some_values(rng, False, *grid.shape)
    found, power = sample(grid, transforms, points), squared(transforms[0][0])
    without_loops(monkeypatch)
    for a, b in zip(found, sample(grid, transforms, points), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(power, squared(transforms[0][0]))


@pytest.mark.parametrize("n", [11, 12])
def test_transforms_of_part_of_the_nodes_are_those_of_arrays(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    grid, volumes = PaddedGrid(n, limit=3), np.random.default_rng(3).normal(size=(2, n, n, n)).astype(np.float32)
    found = grid.transform(volumes)
    without_loops(monkeypatch)
    np.testing.assert_allclose(found, grid.transform(volumes), atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("n", [11, 12])
def test_point_spread_functions_have_one_transform_whatever_the_limit(n: int) -> None:
    """The rim of a box counts at both ends, with all nodes and with some."""
    spectrum = np.random.default_rng(4).normal(size=(n, n, n // 2 + 1))
    volume = np.fft.fftshift(np.fft.irfftn(spectrum, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
    whole, few = PaddedGrid(n), PaddedGrid(n, limit=2)
    edge = few.edge
    at = np.rint(np.fft.fftfreq(edge, 1 / edge)).astype(int) % whole.edge
    expected = whole.even_transform(volume)[np.ix_(at, at, np.arange(edge // 2 + 1))]
    np.testing.assert_allclose(few.even_transform(volume), expected, atol=2e-5 * np.abs(expected).max())
    several = np.stack([volume, volume / 2])
    np.testing.assert_allclose(whole.even_transform(several)[1], whole.even_transform(volume) / 2, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("where", [np.nan, np.inf, 9.0])
def test_points_outside_of_the_grid_are_refused(where: float) -> None:
    """A compiled loop would read or write beside its arrays."""
    grid, points = PaddedGrid(12, limit=3), np.array([[0, 0, 0], [0, where, 0]], np.float32)
    with pytest.raises(ValueError, match="Expected points within"):
        Interpolation(grid, points)
    with pytest.raises(ValueError, match="Expected points within"):
        sample(grid, [np.zeros(grid.shape, np.complex64)], points)


def test_the_interpreter_lock_is_free_while_a_loop_runs() -> None:
    """Else threads would wait for each other: this one counts on while another one is in the loop."""
    grid = PaddedGrid(32)
    points = np.zeros((2_000_000, 3), np.float32)
    interpolation, columns = Interpolation(grid, points), np.zeros((grid.nodes, 1), np.complex64)
    interpolation.gather(columns)  # compiled
    ended: list[float] = []

    def other() -> None:
        interpolation.gather(columns)
        ended.append(time.perf_counter())

    thread, seen = threading.Thread(target=other), []
    thread.start()
    while not ended:
        seen.append(time.perf_counter())
    thread.join()
    gaps = np.diff(seen)
    assert len(seen) > 100 and gaps.max() < 0.5 * (seen[-1] - seen[0])


@pytest.mark.parametrize("how", ["absent", "told not to compile"])
def test_without_numba_arrays_do_the_same(how: str) -> None:
    """Nothing else is asked of an installation."""
    words = "import sys; sys.modules['numba'] = None\n" if how == "absent" else "import os; os.environ['NUMBA_DISABLE_JIT'] = '1'\n"
    words += "from napari_subtomo.numerics.backend import loops\nfrom napari_subtomo.numerics import rotate\nassert loops() is None"
    subprocess.run([sys.executable, "-c", words], check=True)


def test_a_place_for_compiled_loops_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = loops.njit

    def nowhere(**how: object) -> object:
        if how.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**how)

    monkeypatch.setattr(loops, "njit", nowhere)

    def twice(x: int) -> int:
        return 2 * x

    assert loops._compiled(twice)(3) == 6


def test_loops_are_there() -> None:
    """On the processor of a complete installation; all other tests would run without them as well."""
    assert backend.loops() is loops
