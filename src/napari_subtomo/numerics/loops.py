"""Loops over points and poses, compiled for the processor: threads run them side by side, and nothing is made that the cache does not hold.

Python's interpreter lock is free while they run. Calls of numpy that last microseconds would have threads wait for that lock and for each
other, and sparse products of scipy hold it. Without numba nothing imports this module (`numerics.backend.loops`), and arrays do the same.

Values of a grid are in the layout of `padded_grid`, nodes (z, y, x) as one axis of which `edge` and `width` are the lengths along y and x.
Points and lattices are (x, y, z) in Fourier pixels of the unpadded box; a point between nodes counts for its eight corners, or its Friedel
mate does, where k_x < 0. Values are gathered and scattered in the order of points and corners, which is that of scipy's sparse products:
to the last bit they are the same. Nothing is checked here: `rotate` does it for points that others give.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

TILE = 512  # voxels for which the data of a particle at all its shifts stay in the cache


def _compiled(function: F, **more: Any) -> F:
    """Compiled when it is first called, and kept for later programs where there is a place for that."""
    how: Any = {"nogil": True, "error_model": "numpy"} | more  # no question before each division
    compiled: Any
    try:
        compiled = njit(cache=True, **how)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        compiled = njit(**how)(function)
    return cast(F, compiled)


def _sums_in_any_order(function: F) -> F:
    """`_compiled`, with leave to sum in several lanes at once, which loses fewer digits than one after the other."""
    return _compiled(function, fastmath={"reassoc"})


@_compiled
def corners(x: Any, y: Any, z: Any, padding: Any, edge: int, width: int) -> Any:
    """Sign of the imaginary part of a value at a point, Fourier pixels of the unpadded box, and nodes and weights of its eight corners."""
    one, sign = np.float32(1), np.float32(1)
    x, y, z = x * padding, y * padding, z * padding
    if x < 0:  # the half with k_x >= 0 is kept
        x, y, z, sign = -x, -y, -z, -one
    low_x, low_y, low_z = np.floor(x), np.floor(y), np.floor(z)
    up_x, up_y, up_z = x - low_x, y - low_y, z - low_z
    x0, y0, z0 = int(low_x), int(low_y), int(low_z)
    x1, y1, z1 = min(x0 + 1, width - 1), y0 + 1, z0 + 1
    x0 = min(x0, width - 1)
    if y0 < 0:
        y0 += edge
    if y1 < 0:
        y1 += edge
    if z0 < 0:
        z0 += edge
    if z1 < 0:
        z1 += edge
    down_x, down_y, down_z = one - up_x, one - up_y, one - up_z
    a, b, c, d = (z0 * edge + y0) * width, (z0 * edge + y1) * width, (z1 * edge + y0) * width, (z1 * edge + y1) * width
    in_a, in_b, in_c, in_d = down_z * down_y, down_z * up_y, up_z * down_y, up_z * up_y
    nodes = (a + x0, a + x1, b + x0, b + x1, c + x0, c + x1, d + x0, d + x1)
    low = (in_a * down_x, in_a * up_x, in_b * down_x, in_b * up_x)
    return sign, nodes, (*low, in_c * down_x, in_c * up_x, in_d * down_x, in_d * up_x)


@_compiled
def fold(volume: Any, sums: Any, differences: Any) -> None:
    """Sums and differences of opposite values of a map (n, n, n) about its centre: along z in rows one after the other, along y apart.

    Sums (rows, n // 2 + 1, n) and differences (rows, n // 2, n), rows being those of `few_nodes`: sums at 0 … n // 2, then differences.
    """
    n = len(volume)
    half = n // 2
    plane = np.empty((n, n), volume.dtype)
    for row in range(2 * half + 1):
        z = row if row <= half else row - half
        for y in range(n):
            for x in range(n):
                above = volume[half + z, y, x] if half + z < n else np.float32(0)
                below = volume[half - z, y, x] if z > 0 else np.float32(0)
                plane[y, x] = above + below if row <= half else above - below
        for y in range(half + 1):
            for x in range(n):
                above = plane[half + y, x] if half + y < n else np.float32(0)
                below = plane[half - y, x] if y > 0 else np.float32(0)
                sums[row, y, x] = above + below
                if y > 0:
                    differences[row, y - 1, x] = above - below


@_compiled
def gather_one(values: Any, points: Any, padding: Any, edge: int, width: int, out: Any) -> None:
    """Values (m,) of one transform (nodes,), complex64, at points (m, 3)."""
    for i in range(len(points)):
        sign, nodes, shares = corners(points[i, 0], points[i, 1], points[i, 2], padding, edge, width)
        real, imaginary = np.float32(0), np.float32(0)
        for j in range(8):
            real += values[nodes[j]].real * shares[j]
            imaginary += values[nodes[j]].imag * shares[j]
        out[i] = complex(real, sign * imaginary)


@_compiled
def gather(columns: Any, points: Any, padding: Any, edge: int, width: int, copies: int, out: Any) -> None:
    """Values (m, c), complex64, of columns at points (m, 3), as many of them in each copy of the grid.

    Columns (copies · nodes, 2 · c), float32: real and imaginary parts lie beside each other.
    """
    w, each, nodes_each = columns.shape[1], len(points) // copies, len(columns) // copies
    sums = np.empty(w, np.float32)
    for copy in range(copies):
        for i in range(copy * each, (copy + 1) * each):
            sign, nodes, shares = corners(points[i, 0], points[i, 1], points[i, 2], padding, edge, width)
            sums[:] = 0
            for j in range(8):
                share, values = shares[j], columns[copy * nodes_each + nodes[j]]
                for number in range(w):
                    sums[number] += values[number] * share
            for column in range(w // 2):
                out[i, column] = complex(sums[2 * column], sign * sums[2 * column + 1])


@_compiled
def gather_reals(columns: Any, points: Any, padding: Any, edge: int, width: int, copies: int, out: Any) -> None:
    """`gather` of real columns (copies · nodes, c), float32."""
    w, each, nodes_each = columns.shape[1], len(points) // copies, len(columns) // copies
    for copy in range(copies):
        for i in range(copy * each, (copy + 1) * each):
            _, nodes, shares = corners(points[i, 0], points[i, 1], points[i, 2], padding, edge, width)
            for number in range(w):
                value = np.float32(0)
                for j in range(8):
                    value += columns[copy * nodes_each + nodes[j], number] * shares[j]
                out[i, number] = value


@_compiled
def take_nearest(values: Any, k: Any, turn: Any, table: Any, last: int, out: Any) -> None:
    """Values of the lattice voxels nearest to turned ones: out[v] = values[table at turn · k[v]]; nearer to the origin where there is none.

    Table ((2 · last + 1)³,): which voxel a point (x, y, z) is, at x + last + (2 · last + 1) · (y + last + (2 · last + 1) · (z + last)).
    """
    edge = 2 * last + 1
    for v in range(len(out)):
        kx, ky, kz = k[v, 0], k[v, 1], k[v, 2]
        x = turn[0, 0] * kx + turn[0, 1] * ky + turn[0, 2] * kz
        y = turn[1, 0] * kx + turn[1, 1] * ky + turn[1, 2] * kz
        z = turn[2, 0] * kx + turn[2, 1] * ky + turn[2, 2] * kz
        near = table[int(np.rint(x)) + last + edge * (int(np.rint(y)) + last + edge * (int(np.rint(z)) + last))]
        if near < 0:
            near = table[int(x) + last + edge * (int(y) + last + edge * (int(z) + last))]
        out[v] = values[near]


@_compiled
def squared(values: Any, out: Any) -> None:
    """|values|², shape (m, V)."""
    for i in range(values.shape[0]):
        for v in range(values.shape[1]):
            out[i, v] = values[i, v].real * values[i, v].real + values[i, v].imag * values[i, v].imag


@_compiled
def scatter(values: Any, points: Any, padding: Any, edge: int, width: int, copies: int, out: Any) -> None:
    """Add values (m, c), real or complex, at points (m, 3) to columns (copies · nodes, c); the inverse of `gather`'s weights."""
    c, each = values.shape[1], len(points) // copies
    nodes_each = len(out) // copies
    for copy in range(copies):
        for i in range(copy * each, (copy + 1) * each):
            sign, nodes, shares = corners(points[i, 0], points[i, 1], points[i, 2], padding, edge, width)
            for j in range(8):
                for column in range(c):
                    value = np.conj(values[i, column]) if sign < 0 else values[i, column]
                    out[copy * nodes_each + nodes[j], column] += value * shares[j]


@_compiled
def insert(data: Any, weight: Any, row: Any, turns: Any, k: Any, padding: Any, edge: int, width: int, scale: Any, sums: Any) -> None:
    """Add sums of rotations at the turned voxels of a lattice to those of classes, of which a rotation has a row or not.

    Data (rows, v), complex64, and weight (rows, v); row (rotations, c), -1 for none; turns (rotations, 3, 3), points being k (v, 3) times
    a turn; sums (nodes, 4 · c): for each class the real and imaginary parts of data, weights, and nothing.
    """
    c = row.shape[1]
    values = np.zeros(4 * c, np.float32)
    for rotation in range(len(row)):
        some = False
        for column in range(c):
            some = some or row[rotation, column] >= 0
            values[4 * column : 4 * column + 3] = 0
        if not some:
            continue
        turn = turns[rotation]
        for voxel in range(len(k)):
            kx, ky, kz = k[voxel, 0], k[voxel, 1], k[voxel, 2]
            x = kx * turn[0, 0] + ky * turn[1, 0] + kz * turn[2, 0]
            y = kx * turn[0, 1] + ky * turn[1, 1] + kz * turn[2, 1]
            z = kx * turn[0, 2] + ky * turn[1, 2] + kz * turn[2, 2]
            sign, nodes, shares = corners(x, y, z, padding, edge, width)
            for column in range(c):
                r = row[rotation, column]
                if r >= 0:
                    values[4 * column] = data[r, voxel].real * scale
                    values[4 * column + 1] = data[r, voxel].imag * sign * scale
                    values[4 * column + 2] = weight[r, voxel] * scale
            for j in range(8):
                share, to = shares[j], sums[nodes[j]]
                for number in range(4 * c):
                    to[number] += values[number] * share


@_compiled
def add_poses(
    data: Any, weight: Any, phases: Any, start: Any, shift: Any, row: Any, share: Any, begin: int, of_data: Any, of_weight: Any
) -> None:
    """Add shares of shifted particles, and of their weights, to rows, from a voxel `begin` of v on.

    Data (m, some), complex64, and weight (m, some), of these voxels; phases of shifts (T, v); poses start[i] … start[i + 1] - 1 of a
    particle have a shift, a row, -1 for none, and a share; of_data (rows, v), complex64, and of_weight (rows, v).
    """
    some = data.shape[1]
    moved = np.empty((len(phases), TILE), np.complex64)
    # loops over lines of their own, and over parts of complex numbers, run on vectors: twice as fast
    parts, of_parts = moved.view(np.float32), of_data.view(np.float32)
    made = np.full(len(phases), -1, np.int64)  # number of the particle and tile for which a shift was made last
    seen, touched, total = np.full(len(of_data), -1, np.int64), np.empty(len(of_data), np.int64), np.empty(len(of_data), np.float32)
    number = 0
    for first in range(0, some, TILE):
        size, to = min(TILE, some - first), begin + first
        for particle in range(len(data)):
            number += 1
            rows = 0
            mine, heavy = data[particle, first : first + size], weight[particle, first : first + size]
            for pose in range(start[particle], start[particle + 1]):
                t, r, s = shift[pose], row[pose], share[pose]
                if r < 0:
                    continue
                if made[t] != number:
                    made[t] = number
                    turn, made_here = phases[t, to : to + size], moved[t, :size]
                    for v in range(size):
                        made_here[v] = turn[v] * mine[v]
                part, sums = parts[t, : 2 * size], of_parts[r, 2 * to : 2 * (to + size)]
                for v in range(2 * size):
                    sums[v] += part[v] * s
                if seen[r] != number:
                    seen[r], total[r], touched[rows] = number, 0, r
                    rows += 1
                total[r] += s
            for which in range(rows):
                r = touched[which]
                weights, all_of = of_weight[r, to : to + size], total[r]
                for v in range(size):
                    weights[v] += heavy[v] * all_of


@_sums_in_any_order
def left_out(
    g: Any,
    own: Any,
    h: Any,
    whitening: Any,
    shares: Any,
    in_common: Any,
    mean: Any,
    share: Any,
    numerator: Any,
    denominator: Any,
    least: Any,
    log: Any,
) -> None:
    """Log-likelihoods (m, c) of particles by classes without their own shares; see `start.leave_one_out`.

    Particles g, own (m, V), complex64, h, whitening (m, V); shares (m, c), in_common (m,); what classes have in common: mean (V,),
    complex64, share (V,); of classes numerator (c, V), complex64, denominator and least (c, V).
    """
    classes, voxels = numerator.shape
    x_of, y_of = np.empty((classes, voxels), np.float32), np.empty((classes, voxels), np.float32)
    for c in range(classes):
        for v in range(voxels):
            x_of[c, v], y_of[c, v] = numerator[c, v].real, numerator[c, v].imag
    here = np.empty((8, TILE), np.float32)  # what is the same for all classes
    own_x, own_y, x, y, w, whiten, shared_x, shared_y = here
    for i in range(len(g)):
        log[i] = 0
        for first in range(0, voxels, TILE):
            size = min(TILE, voxels - first)
            for v in range(size):
                at, shared = first + v, share[first + v] * in_common[i]
                own_x[v], own_y[v], x[v], y[v] = own[i, at].real, own[i, at].imag, g[i, at].real, g[i, at].imag
                w[v], whiten[v] = h[i, at], whitening[i, at]
                shared_x[v], shared_y[v] = shared * (own_x[v] - w[v] * mean[at].real), shared * (own_y[v] - w[v] * mean[at].imag)
            for c in range(classes):
                mine, part = shares[i, c], np.float32(0)
                # lines of their own run on vectors
                of_x, of_y = x_of[c, first : first + size], y_of[c, first : first + size]
                divisor, floor = denominator[c, first : first + size], least[c, first : first + size]
                for v in range(size):
                    without_x = of_x[v] - mine * own_x[v] - shared_x[v]
                    without_y = of_y[v] - mine * own_y[v] - shared_y[v]
                    inverse = np.float32(1) / max(divisor[v] - mine * w[v], floor[v])
                    agree = np.float32(2) * (x[v] * without_x + y[v] * without_y)
                    part += (agree - w[v] * inverse * (without_x * without_x + without_y * without_y)) * inverse * whiten[v]
                log[i, c] += part
