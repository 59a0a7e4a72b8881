"""The Fourier voxels an EM works on: one half of the sphere, ordered by shell so that a resolution limit is a prefix."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Lattice:
    """Half sphere of integer frequencies of a box.

    Attributes
    ----------
    n : int
        Box in voxels.
    last_shell : int
        Largest shell kept.
    k : ndarray, shape (V, 3), float32
        (x, y, z) in Fourier pixels; of ±k the one with k_x > 0, on k_x = 0 the one with k_y > 0, then k_z >= 0. DC is the first.
    shell : ndarray, shape (V,), int
        Rounded radius, ascending.
    """

    n: int
    last_shell: int
    k: npt.NDArray[np.float32] = field(repr=False)
    shell: npt.NDArray[np.int64] = field(repr=False)

    @classmethod
    def of(cls, n: int, last_shell: int) -> Lattice:
        """Lattice of box `n` up to `last_shell` (at most n // 2 - 1 + n % 2, the last complete shell)."""
        last_shell = min(last_shell, (n - 1) // 2)
        axis = np.arange(-last_shell, last_shell + 1)
        z, y, x = (a.ravel() for a in np.meshgrid(axis, axis, axis, indexing="ij"))
        half = (x > 0) | ((x == 0) & (y > 0)) | ((x == 0) & (y == 0) & (z >= 0))
        radius = np.sqrt(x**2 + y**2 + z**2)
        chosen = np.flatnonzero(half & (radius <= last_shell))
        shell = np.floor(radius + 0.5).astype(np.int64)
        # within a shell as they lie in memory, so that interpolation walks through a grid instead of jumping about in it
        chosen = chosen[np.argsort(shell[chosen], kind="stable")]
        k = np.stack([x[chosen], y[chosen], z[chosen]], axis=1).astype(np.float32)
        return cls(n, last_shell, k, shell[chosen])

    def __len__(self) -> int:
        """Number of voxels."""
        return len(self.k)

    def prefix(self, last_shell: int) -> int:
        """Number of voxels up to and with a shell."""
        return int(np.searchsorted(self.shell, last_shell, side="right"))

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Voxels per shell, shape (last_shell + 1,)."""
        return np.bincount(self.shell, minlength=self.last_shell + 1)

    def half_layout_index(self, voxels: int | None = None) -> npt.NDArray[np.int64]:
        """Flat index of each of the first voxels (default: all) in an unpadded FFTW half layout (n, n, n // 2 + 1)."""
        x, y, z = self.k[:voxels].astype(np.int64).T
        index: npt.NDArray[np.int64] = ((z % self.n) * self.n + y % self.n) * (self.n // 2 + 1) + x
        return index

    def friedel_mates(self, voxels: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Friedel mates that the lattice leaves out, of the first voxels.

        Returns
        -------
        plane : ndarray, shape (m,)
            Which voxels have k_x = 0.
        mates : ndarray, shape (m,)
            Flat index of the mate of each in the layout of `half_layout_index`.
        """
        x, y, z = self.k[:voxels].astype(np.int64).T
        plane = np.flatnonzero(x == 0)
        return plane, ((-z % self.n * self.n + -y % self.n) * (self.n // 2 + 1))[plane]


def lattice_map(values: npt.NDArray[np.complex64], lattice: Lattice) -> npt.NDArray[np.float32]:
    """Real map of values on the first voxels of a lattice (never scatter lattice values into the padded grid: odd nodes stay empty).

    Parameters
    ----------
    values : ndarray, shape (v,), complex
    lattice : Lattice

    Returns
    -------
    ndarray, shape (n, n, n), float32
    """
    n = lattice.n
    half = np.zeros(n * n * (n // 2 + 1), np.complex128)
    plane, mates = lattice.friedel_mates(len(values))
    half[lattice.half_layout_index(len(values))] = values
    half[mates] = values[plane].conj()
    volume: npt.NDArray[np.float32] = np.fft.fftshift(np.fft.irfftn(half.reshape(n, n, -1), s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
    return volume


def beyond(volume: npt.NDArray[np.float32], lattice: Lattice, voxels: int) -> npt.NDArray[np.float32]:
    """A real map without its first voxels on a lattice.

    Parameters
    ----------
    volume : ndarray, shape (n, n, n)
    lattice : Lattice
    voxels : int
        Whole shells.

    Returns
    -------
    ndarray, shape (n, n, n), float32
    """
    values = np.fft.rfftn(np.fft.ifftshift(volume)).ravel()[lattice.half_layout_index(voxels)].astype(np.complex64)
    rest: npt.NDArray[np.float32] = np.subtract(volume, lattice_map(values, lattice))
    return rest
