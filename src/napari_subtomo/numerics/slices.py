"""Insertion of 2D transforms into a 3D box, as RELION makes its 3D pseudo-subtomograms (`backprojectSlice_forward_with_multiplicity`).

Every sample of a slice is spread over the eight voxels around its place with trilinear weights. What the files of RELION 5 show,
and what is done here: only samples within the slice's Nyquist circle count; of the column k_x = 0, which holds both Friedel mates,
only k_y >= 0 counts; what falls on the plane k_x = 0 of the box is added to its mate too (so the origin counts twice); nothing is
divided out in real space. Slices larger than the box (cut larger, written cropped) lie denser: their sums are multiplied with the
area of a sample, so that the multiplicity is that of one sample a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_subtomo.errors import GeometryError
from napari_subtomo.numerics.backend import namespace
from napari_subtomo.numerics.rotate import scipy_sparse

_CHUNK = 2**19  # samples in one matrix
_CACHED = 2**14  # samples whose entries are computed at once: more do not fit into the caches of a processor


@dataclass(frozen=True, eq=False)
class SliceInsertion:
    """The insertion for one set of image axes: particles of a tomogram that share a frame share it.

    Attributes
    ----------
    size : int
        Edge s of a slice in pixels.
    box : int
        Edge of the box in voxels.
    samples : array of int32, shape (p,)
        Which of the s·(s//2+1) samples of a slice count.
    group : int
        Number g of slices that share a matrix.
    matrices : tuple of sparse matrix, each of shape (nodes, g·p)
        From the samples of g neighbouring slices, fewer in the last one, to the nodes of the box.
    flipped : array of bool, shape (m·p,)
        Samples inserted as their Friedel mates.
    area : array of float32, shape (m,)
        Area of a sample in voxels².
    """

    size: int
    box: int
    samples: Any
    group: int
    matrices: tuple[Any, ...]
    flipped: Any
    area: Any

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (box, box, box // 2 + 1) of what comes out."""
        return self.box, self.box, self.box // 2 + 1

    def insert(self, values: Any, weights: Any, counts: Any | None = None) -> tuple[Any, Any, Any]:
        """Insert slices. Parameters and answer as in `insert_slices`."""
        xp = namespace(self.flipped)
        m, half = len(self.area), (self.size, self.size // 2 + 1)
        if values.shape != (m, *half) or weights.shape != (m, *half):
            raise GeometryError(f"Expected slices of shape {(m, *half)}, found {values.shape} and weights {weights.shape}.")
        x = values.reshape(m, -1)[:, self.samples].ravel()
        columns = xp.empty((len(self.flipped), 4), xp.float32)
        columns[:, 0] = x.real
        columns[:, 1] = xp.where(self.flipped, -x.imag, x.imag)
        columns[:, 2] = weights.reshape(m, -1)[:, self.samples].ravel()
        columns[:, 3] = 1 if counts is None else counts.reshape(m, -1)[:, self.samples].ravel()
        columns *= xp.repeat(self.area, len(self.samples))[:, None]
        if counts is not None:
            columns *= (columns[:, 3] > 0)[:, None]
        total, step = xp.zeros((int(np.prod(self.shape)), 4), xp.float32), self.group * len(self.samples)
        for number, matrix in enumerate(self.matrices):
            total += matrix @ columns[number * step : (number + 1) * step]
        total = total.reshape(*self.shape, 4)
        plane = total[:, :, 0].copy()
        minus = (-xp.arange(self.box)) % self.box
        mate = plane[minus][:, minus]
        mate[..., 1] *= -1
        total[:, :, 0] += mate
        sums = xp.ascontiguousarray(total[..., :2]).view(xp.complex64)[..., 0]
        return sums, xp.ascontiguousarray(total[..., 2]), xp.ascontiguousarray(total[..., 3])


def slice_insertion(axes: Any, size: int, box: int) -> SliceInsertion:
    """Prepare the insertion of slices of `size` pixels with these axes; see `insert_slices`.

    Parameters
    ----------
    axes : array, shape (m, 2, 3)
        x and y axes of the images in the frame of the box (xyz).
    size : int
        Edge of a slice in pixels.
    box : int
        Edge of the box in voxels.

    Returns
    -------
    SliceInsertion
    """
    xp = namespace(axes)
    axes = axes.astype(xp.float64)
    kx = xp.arange(size // 2 + 1)[None, :]
    ky = ((xp.arange(size) + size // 2) % size - size // 2)[:, None]
    keep = (kx**2 + ky**2 <= (size / 2) ** 2) & ((kx > 0) | (ky >= 0))
    samples = xp.flatnonzero(keep).astype(xp.int32)
    k = xp.stack([xp.broadcast_to(kx, keep.shape)[keep], xp.broadcast_to(ky, keep.shape)[keep]], axis=1).astype(xp.float64)
    group = max(1, _CHUNK // len(samples))
    parts = [_matrix((k @ axes[i : i + group]).reshape(-1, 3), box) for i in range(0, len(axes), group)]
    area = xp.linalg.norm(xp.cross(axes[:, 0], axes[:, 1]), axis=1).astype(xp.float32)
    return SliceInsertion(size, box, samples, group, tuple(p[0] for p in parts), xp.concatenate([p[1] for p in parts]), area)


def insert_slices(values: Any, weights: Any, axes: Any, box: int, counts: Any | None = None) -> tuple[Any, Any, Any]:
    """Sums over slices of transforms and of weights in a 3D box.

    RELION's `_data.mrc` is ``sqrt(box) · fftshift(irfftn(sum_values))`` for slices that are numpy's unscaled transforms of images in the
    scale of its 2D stacks, and its `_weights.mrc` is `sum_weights` and `multiplicity` one above the other. A slice cut from a larger
    square (edge s) than the written box comes with axes multiplied with ``box / s``.

    Parameters
    ----------
    values : complex array, shape (m, s, s // 2 + 1)
        Transforms of images in FFTW's half layout, multiplied with CTF and dose weights, the particle's centre at the origin.
    weights : real array, shape (m, s, s // 2 + 1)
        CTF² · dose² in the same layout.
    axes : array, shape (m, 2, 3)
        x and y axes of the images in the frame of the box (xyz): sample (kx, ky) lies at ``kx·axes[0] + ky·axes[1]``.
    box : int
        Edge of the box in voxels.
    counts : array, shape (m, s, s // 2 + 1), optional
        0 for samples to leave out, also of the multiplicity (RELION: dose weight below 0.01), else 1.

    Returns
    -------
    sum_values : complex64 array, shape (box, box, box // 2 + 1)
        FFTW's half layout.
    sum_weights, multiplicity : float32 array of the same shape
        Sums of the weights, and of samples.

    Raises
    ------
    GeometryError
        Arrays do not fit together.
    """
    xp = namespace(values)
    axes = xp.asarray(axes)
    if values.ndim != 3 or axes.shape != (len(values), 2, 3):
        raise GeometryError(f"Expected slices and their axes (m, 2, 3), found shapes {values.shape} and {axes.shape}.")
    return slice_insertion(axes, values.shape[1], box).insert(values, weights, counts)


def _matrix(points: Any, box: int) -> tuple[Any, Any]:
    """Trilinear weights (nodes, points) of points (xyz, Fourier voxels), and which of them stand for their Friedel mates."""
    xp = namespace(points)
    n = len(points)
    rows, shares, flipped = xp.empty((n, 8), xp.int32), xp.empty((n, 8), xp.float32), xp.empty(n, bool)
    step = _CACHED if xp is np else n
    for start in range(0, n, step):
        part = slice(start, start + step)
        flipped[part] = _entries(points[part], box, rows[part], shares[part])
    ends = xp.arange(0, 8 * n + 1, 8, dtype=xp.int32)
    sparse = scipy_sparse(points)
    return sparse.csr_matrix((shares.ravel(), rows.ravel(), ends), shape=(n, box * box * (box // 2 + 1))).T, flipped


def _entries(points: Any, box: int, rows: Any, shares: Any) -> Any:
    """Nodes (p, 8) about points (p, 3) and their shares, into `rows` and `shares`; which points stand for their Friedel mates."""
    xp = namespace(points)
    q = xp.ascontiguousarray(points.T)
    flipped = q[0] < 0
    q = q * xp.where(flipped, -1.0, 1.0)
    floor = xp.floor(q)
    above = (q - floor).astype(xp.float32)
    low, half = floor.astype(xp.int32), box // 2 + 1
    place: list[Any] = []
    share: list[Any] = []
    for axis, stride in enumerate((1, half, box * half)):
        first, end = (0, half) if axis == 0 else (-(box // 2), (box + 1) // 2)
        for offset in (0, 1):
            node = low[axis] + offset
            fits = (node >= first) & (node < end)  # nodes beyond the box get no share: RELION drops them
            share.append((above[axis] if offset else 1 - above[axis]) * fits)
            place.append(xp.where(fits, xp.where(node < 0, node + box, node), 0) * stride)
    for corner in range(0, 8, 2):
        y, z = 2 + (corner >> 1 & 1), 4 + (corner >> 2)
        line, weight = place[z] + place[y], share[z] * share[y]
        for x in (0, 1):
            xp.add(line, place[x], out=rows[:, corner + x])
            xp.multiply(weight, share[x], out=shares[:, corner + x])
    return flipped
