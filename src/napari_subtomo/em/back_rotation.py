"""Sums of rotations, back-rotated and inserted on the padded grid of the maps.

On the processor a compiled loop takes them from where they are, half of the rotations of a fold at a time; elsewhere they are brought into
the order of insertion, and the product with a sparse matrix inserts a chunk of them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.expectation import EStep
from napari_subtomo.em.pose_sums import PoseSums
from napari_subtomo.em.statistics import Sums
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import loops, namespace, to_host
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation, layout, rotate_volume
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PARTS = 2  # of the rotations of a fold, inserted beside each other: folds alone are shared out unevenly
SCATTER_BYTES = 48 * 2**20  # what inserting a chunk of points takes beside the sums, at least
SCATTER_SHARE = 4  # or as often the bytes of the sums that a chunk gives: smaller ones would take longer to add than to make
POINT_BYTES, VALUE_BYTES = 130, 28  # of a point that is inserted, and of each of its columns
ARRANGED, DEVICE_ARRANGED = 1, 16  # rotations whose sums are brought into the order of insertion at once: in the cache, or in few calls
SCATTER_PARTS = 4  # chunks at least, whatever the number of threads that take them


@dataclass(frozen=True)
class GridSums:
    """Sums on the nodes of the padded grid, on the device.

    Attributes
    ----------
    numerator, denominator : array, shape (folds, nodes, classes), complex64 and float32
    together : ndarray, shape (folds, nodes, 4 · classes), float32, or None
        Where both lie for the loop that adds to them at once: real and imaginary parts, weights and nothing.
    """

    numerator: Any
    denominator: Any
    together: Any = None

    @classmethod
    def zero(cls, step: EStep, xp: Any) -> GridSums:
        """Nothing yet."""
        folds, classes = step.model.maps.shape[:2]
        shape = folds, step.grid.nodes, classes
        if loops() is None or xp is not np:
            return cls(xp.zeros(shape, xp.complex64), xp.zeros(shape, xp.float32))
        both = np.zeros((*shape, 4), np.float32)
        return cls(both[..., :2].view(np.complex64)[..., 0], both[..., 2], both.reshape(*shape[:2], -1))


def fold_groups(sums: GridSums, threads: int) -> list[slice]:
    """Folds whose data are summed and inserted at once: as few as keep threads busy where a loop inserts them, or all of them."""
    folds = len(sums.numerator)
    size = folds if sums.together is None else max(1, -(-threads // PARTS))
    return [slice(first, min(first + size, folds)) for first in range(0, folds, size)]


def insert(
    step: EStep,
    parts: list[PoseSums],
    used: IntArray,
    sums: GridSums,
    folds: slice,
    voxels: int,
    mates: FloatArray,
    threads: int,
    reporter: Reporter,
) -> None:
    """Rotate the summed data of each rotation back and add them.

    Parameters
    ----------
    step : EStep
    parts : list of PoseSums
        Of each of some folds.
    used : ndarray, shape (u,)
        Rotations that any of them has rows of.
    sums : GridSums
        To which they are added.
    folds : slice
        Which folds they are.
    voxels : int
        v, of the lattice.
    mates : ndarray, shape (m, 3, 3)
        Symmetry rotations of the reference, identity included.
    threads : int
        The result is the same with any number of them.
    reporter : Reporter
    """
    if sums.together is not None:
        _insert_compiled(step, parts, used, sums.together[folds], voxels, mates, threads, reporter)
    else:
        some = GridSums(sums.numerator[folds], sums.denominator[folds])
        _insert_sparse(step, parts, used, some, voxels, mates, threads, reporter)


def _insert_compiled(
    step: EStep, parts: list[PoseSums], used: IntArray, sums: Any, voxels: int, mates: FloatArray, threads: int, reporter: Reporter
) -> None:
    """`insert` by a loop over rotations and voxels, to sums (folds, nodes, 4 · classes)."""
    compiled, inserted, k = loops(), _inserted(step, mates), step.lattice.k[:voxels]
    scale = np.float32(step.grid.padding**3)  # as of `Interpolation.scatter`
    units = [(f, part) for f in range(len(parts)) for part in np.array_split(used, PARTS)]

    def one(number: int) -> Any:
        reporter.advance(0)  # so that it can be cancelled here, too
        f, some = units[number]
        to = np.zeros_like(sums[f]) if number % PARTS else sums[f]  # the first part is added in place
        rows, at = parts[f], rows_of(parts[f], step, some)
        for mate in inserted:
            turns = (step.poses.rotations[some] @ mate).astype(np.float32)
            compiled.insert(rows.data, rows.weight, at, turns, k, *layout(step.grid), scale, to)
        return to

    for number, part in enumerate(ordered_map(one, range(len(units)), threads)):
        if number % PARTS:
            sums[units[number][0]] += part


def rows_of(rows: PoseSums, step: EStep, rotations: IntArray) -> IntArray:
    """Row of each of some rotations and each class, -1 where there is none, shape (rotations, classes)."""
    wanted = np.arange(step.model.maps.shape[1]) * len(step.poses.rotations) + rotations[:, None]
    if not len(rows.keys):
        return np.full(wanted.shape, -1)
    at = np.minimum(np.searchsorted(rows.keys, wanted), len(rows.keys) - 1)
    found: IntArray = np.where(rows.keys[at] == wanted, at, -1)
    return found


def _insert_sparse(
    step: EStep, parts: list[PoseSums], used: IntArray, sums: GridSums, voxels: int, mates: FloatArray, threads: int, reporter: Reporter
) -> None:
    """`insert` by products with sparse matrices."""
    xp, (folds, nodes, classes) = namespace(sums.numerator), sums.numerator.shape
    columns = folds * classes
    size = max(1, min(scatter_points(nodes, columns) // voxels, -(-len(used) // SCATTER_PARTS)))
    number = -(-len(used) // size)
    # as many for each of two or four threads
    chunks = np.array_split(used, min(len(used), -(-number // SCATTER_PARTS) * SCATTER_PARTS))
    k = xp.asarray(step.lattice.k[:voxels])
    inserted, at_once = _inserted(step, mates), ARRANGED if xp is np else DEVICE_ARRANGED
    reporter.stage("Back-rotation", len(chunks) * len(inserted), "chunks")

    def arranged(some: IntArray) -> tuple[Any, Any]:
        """Sums of data and weights of these rotations, shape (folds·classes, rotations, voxels)."""
        data = xp.zeros((columns, len(some), voxels), xp.complex64)
        weight = xp.zeros((columns, len(some), voxels), xp.float32)
        for f, rows in enumerate(parts):
            for c, at in enumerate(rows_of(rows, step, some).T):
                there, source = (xp.asarray(values) for values in (np.flatnonzero(at >= 0), at[at >= 0]))
                data[f * classes + c, there], weight[f * classes + c, there] = rows.data[source], rows.weight[source]
        return data, weight

    def one_chunk(chunk: IntArray) -> tuple[Any, Any]:
        data = xp.empty((len(chunk), voxels, columns), xp.complex64)
        weight = xp.empty((len(chunk), voxels, columns), xp.float32)
        for first in range(0, len(chunk), at_once):
            some = slice(first, first + at_once)
            data[some], weight[some] = (values.transpose(1, 2, 0) for values in arranged(chunk[some]))
        a, b = None, None
        for mate in inserted:
            turn = xp.asarray((step.poses.rotations[chunk] @ mate).astype(np.float32))
            interpolation = Interpolation(step.grid, (k[None] @ turn).reshape(-1, 3))
            a = _added(a, interpolation.scatter(data.reshape(-1, columns)))
            b = _added(b, interpolation.scatter(weight.reshape(-1, columns)))
            reporter.advance()
        return a, b

    for both in ordered_map(one_chunk, chunks, threads):
        for total, more in zip((sums.numerator, sums.denominator), both, strict=True):
            total += more.reshape(nodes, folds, classes).transpose(1, 0, 2)


def _inserted(step: EStep, mates: FloatArray) -> FloatArray:
    """Symmetry mates that data are inserted for: on an exact grid other orientations fall between the nodes, and summed maps are turned."""
    return mates[:1] if step.grid.exact else mates


def finished(step: EStep, sums: GridSums, mates: FloatArray, threads: int) -> Sums:
    """Sums by fold and class on the host, Friedel mates and all symmetry mates counted; other arguments as of `insert`."""
    folds, classes = step.model.maps.shape[:2]
    more = mates[len(_inserted(step, mates)) :]

    def of(values: Any) -> Any:
        out = np.empty((folds, classes, *step.grid.shape), values.dtype)

        def put(place: tuple[int, int]) -> None:
            f, c = place
            out[f, c] = whole(step.grid, values[f, :, c], more)

        deque(ordered_map(put, list(np.ndindex(folds, classes)), threads), maxlen=0)
        return out

    return Sums(*(of(to_host(values)) for values in (sums.numerator, sums.denominator)))


def scatter_points(nodes: int, columns: int) -> int:
    """Points that are inserted at once into so many columns of sums on so many nodes."""
    return max(SCATTER_BYTES, SCATTER_SHARE * 12 * nodes * columns) // (POINT_BYTES + VALUE_BYTES * columns)


def _added(sums: Any, more: Any) -> Any:
    """A sum in place; there is none before the first."""
    if sums is None:
        return more
    sums += more
    return sums


def whole(grid: PaddedGrid, sums: Any, more_mates: FloatArray) -> Any:
    """A column of sums with both Friedel mates counted, and copies turned by further symmetry mates added."""
    total = grid.symmetrise(sums.reshape(grid.shape))
    if not len(more_mates):
        return total
    # DC turns into itself. All tilts meet there: as a spike between nodes that few share it would leak into the shells around it.
    smooth, origin = total.copy(), total[0, 0, 0]
    smooth[0, 0, 0] = (total[1, 0, 0] + total[-1, 0, 0] + total[0, 1, 0] + total[0, -1, 0] + 2 * total[0, 0, 1]).real / 6
    volume = grid.to_map(smooth)
    transform = grid.transform(volume + sum(rotate_volume(volume, mate) for mate in more_mates))
    transform[0, 0, 0] = origin * (1 + len(more_mates))
    return transform.astype(np.complex64) if np.iscomplexobj(sums) else np.maximum(transform.real, 0).astype(np.float32)
