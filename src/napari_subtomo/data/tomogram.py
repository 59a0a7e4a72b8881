"""Tomograms and their tilt series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError, InputError
from napari_subtomo.geometry.frames import Frame

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Tomogram:
    """One row of a tomogram set.

    Attributes
    ----------
    name : str
        Key of everything; text even if it looks like a number.
    size_xyz : tuple of int, optional
        Size (x, y, z) in unbinned tilt-series pixels; None where the file does not tell.
    pixel_size : float, optional
        Unbinned tilt-series pixel in Å.
    binning : float, optional
        Voxel of the tomogram file divided by `pixel_size`; None before reconstruction.
    voltage : float, optional
        kV.
    cs : float, optional
        Spherical aberration in mm.
    amplitude_contrast : float, optional
    hand : float
        +1 or -1, the sign of the change of defocus with depth.
    optics_group : str
        Name of the optics group.
    tomogram_path, denoised_path : Path, optional
        Binned volumes; the denoised one is for viewing.
    half_paths : tuple of two Paths, optional
        Volumes from even and odd frames or tilts.
    tilt_series_path : Path, optional
        STAR file of the tilt series.
    defocus_slope : float
        Multiplies the change of defocus with depth.
    extra : mapping of str to str
        All cells of the row as text.
    """

    name: str
    size_xyz: tuple[int, int, int] | None = None
    pixel_size: float | None = None
    binning: float | None = None
    voltage: float | None = None
    cs: float | None = None
    amplitude_contrast: float | None = None
    hand: float = -1.0
    optics_group: str = "opticsGroup1"
    tomogram_path: Path | None = None
    denoised_path: Path | None = None
    half_paths: tuple[Path, Path] | None = None
    tilt_series_path: Path | None = None
    defocus_slope: float = 1.0
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def frame(self) -> Frame:
        """The coordinate frame; binning 1 where none is known.

        Raises
        ------
        GeometryError
            Size or pixel size are missing, without which positions have no meaning.
        """
        if self.size_xyz is None or self.pixel_size is None:
            missing = "its size in pixels" if self.size_xyz is None else "its tilt-series pixel size"
            raise GeometryError(
                f"Expected {missing} for the tomogram {self.name}, found none in the tomogram set; "
                "reconstruct the tomogram first or add the missing columns."
            )
        return Frame(self.size_xyz, self.pixel_size, 1.0 if self.binning is None else self.binning)

    @property
    def size_warning(self) -> str | None:
        """A sentence about odd sizes, for which RELION's own rules differ by half a pixel; None for even ones."""
        odd = [axis for axis, n in zip("xyz", self.size_xyz or (), strict=False) if n % 2]
        if not odd:
            return None
        return (
            f"The tomogram {self.name} has an odd size in {', '.join(odd)} ({' x '.join(map(str, self.size_xyz or ()))} px): "
            "RELION projects such tomograms half a pixel off its own particle coordinates; use even sizes."
        )

    @property
    def display_path(self) -> Path | None:
        """The volume to look at: denoised, else plain, else the first half; None without any."""
        halves = self.half_paths or (None,)
        return self.denoised_path or self.tomogram_path or halves[0]

    def extraction_paths(self, *, denoised: bool = False) -> tuple[tuple[Path, ...], str | None]:
        """The volumes to extract from, and a warning if there is something to say.

        Parameters
        ----------
        denoised : bool
            Extract from the denoised volume, which is asked for by name only: its noise is not what averaging and classification expect.

        Returns
        -------
        paths : tuple of Path
            The plain volume, or the two half volumes whose sum takes its place.
        warning : str or None

        Raises
        ------
        InputError
            There is no such volume.
        """
        if denoised:
            if self.denoised_path is None:
                raise InputError(f"Expected a denoised volume of the tomogram {self.name}, found none in the tomogram set.")
            return (self.denoised_path,), (
                f"Extracting from the denoised volume of {self.name}: its noise is neither white nor independent between particles, "
                "so averages look better than they are; use the plain volume for anything but looking."
            )
        if self.tomogram_path is not None:
            return (self.tomogram_path,), None
        if self.half_paths is not None:
            return self.half_paths, f"The tomogram {self.name} has no plain volume; its two half volumes are added."
        found = "only a denoised one" if self.denoised_path else "none"
        raise InputError(
            f"Expected a reconstructed volume of the tomogram {self.name}, found {found} in the tomogram set; "
            "reconstruct the tomogram first."
        )


@dataclass(frozen=True, eq=False)
class TiltSeries:
    """The images of one tomogram; arrays have shape (n_tilts,), in the order of the file.

    Attributes
    ----------
    name : str
        Name of the tomogram.
    x_tilt, y_tilt, z_rot : ndarray
        Degrees; a point is rotated about x first, then y (the tilt), then z (the direction of the tilt axis).
    x_shift, y_shift : ndarray
        Shift of the image in Å; NaN where a projection matrix was given and the size of the image is unknown.
    defocus_u, defocus_v : ndarray
        Å, positive for underfocus; NaN where unknown.
    defocus_angle, phase_shift : ndarray
        Degrees.
    scale : ndarray
        Factor of the CTF, 1 where the file has none.
    dose : ndarray
        Exposure before each image in e/Å²; NaN where unknown.
    image_paths : tuple of Path
        One a tilt, or empty.
    bfactor : ndarray
        Å², 0 where the file has none.
    sections : tuple of int
        Number of each image in its stack (`n@stack.mrcs`), from 1; 0 for a file of its own.
    deformed : bool
        Whether the alignment holds deformations of the images that are not zero.
    """

    name: str
    x_tilt: FloatArray
    y_tilt: FloatArray
    z_rot: FloatArray
    x_shift: FloatArray
    y_shift: FloatArray
    defocus_u: FloatArray
    defocus_v: FloatArray
    defocus_angle: FloatArray
    phase_shift: FloatArray
    scale: FloatArray
    dose: FloatArray
    image_paths: tuple[Path, ...] = ()
    bfactor: FloatArray = field(default_factory=lambda: np.zeros(0))
    sections: tuple[int, ...] = ()
    deformed: bool = False

    def __len__(self) -> int:
        """Number of tilts."""
        return len(self.y_tilt)

    @property
    def has_ctf(self) -> bool:
        """Whether every tilt has a defocus."""
        return bool(len(self)) and bool(np.isfinite(self.defocus_u).all() and np.isfinite(self.defocus_v).all())
