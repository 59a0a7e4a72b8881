"""Files of an external reconstruction: what RELION gives an outside program that makes a map, and the map that it expects back.

RELION 3.1 and 5 write, beside the job's other files, `run_itNNN_classNNN_external_reconstruct.star` with two tables: a list (names of
the files, T, padding, sizes; RELION 5 adds pixel size and particle diameter) and the signal power by shell. The three arrays are
volumes of shape (P, P, P // 2 + 1) in FFTW's half layout, P = padding x box, phases relative to the centre of the box (index n // 2), zero
beyond a radius of padding x current size / 2 nodes. The result is a map of the box, centre at n // 2.

A program divides: transform of the map = n² · data / (weight + 1 / (padding³ · T · τ²)), on the padded grid, where n² is RELION's
normalisation for particles that are 2D images, which is what `relion_external_reconstruct` and Blush take all files for; then it divides
the map by the envelope of trilinear interpolation, sinc²(r / P).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import mrc_header, read_mrc, require_finite, write_mrc
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import StarBlock, write_star

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """What a program is given for one map.

    Attributes
    ----------
    data : ndarray, shape (P, P, P // 2 + 1), complex64
    weight : ndarray, shape (P, P, P // 2 + 1), float32
    tau2 : ndarray, shape (box // 2 + 1,)
        Signal power by shell, 0 beyond the last one.
    regularisation : float
        T.
    padding, box, current_size : int
    pixel_size, diameter : float
        Å.
    """

    data: npt.NDArray[np.complex64]
    weight: npt.NDArray[np.float32]
    tau2: FloatArray
    regularisation: float
    padding: int
    box: int
    current_size: int
    pixel_size: float
    diameter: float


@dataclass(frozen=True)
class ExternalFiles:
    """Names of the files of one map, as RELION has them: programs guess from them the class, the iteration and other files.

    Attributes
    ----------
    folder : JobFolder
    iteration, class_number : int
        Classes count from 1.
    """

    folder: JobFolder
    iteration: int
    class_number: int

    @property
    def root(self) -> str:
        """What all names begin with."""
        return f"run_it{self.iteration:03d}_class{self.class_number:03d}_external_reconstruct"

    def path(self, tail: str) -> Path:
        """A file: `tail` is .star, .mrc (the result), .out (what the program said), _data_real.mrc, ..."""
        return self.folder.file(self.root + tail)

    def name(self, tail: str) -> str:
        """The same as a STAR cell has it."""
        return self.folder.name(self.root + tail)

    def clear(self) -> None:
        """Remove all of them, and what a program left beside them under the same name."""
        for path in self.folder.path.glob(f"{self.root}*"):
            path.unlink(missing_ok=True)

    def write(self, request: Request) -> None:
        """Write arrays and STAR file; files of an earlier map of that name are gone.

        Raises
        ------
        InputError
            The folder cannot be written, or sums are not finite.
        """
        self.clear()
        for tail, values in (("_data_real", request.data.real), ("_data_imag", request.data.imag), ("_weight", request.weight)):
            write_mrc(self.path(f"{tail}.mrc"), values, request.pixel_size)
        general = {
            r.EXTERNAL_DATA_REAL: self.name("_data_real.mrc"),
            r.EXTERNAL_DATA_IMAG: self.name("_data_imag.mrc"),
            r.EXTERNAL_WEIGHT: self.name("_weight.mrc"),
            r.EXTERNAL_RESULT: self.name(".mrc"),
            r.EXTERNAL_RESULT_STAR: self.name("_out.star"),
            r.TAU2_FUDGE_FACTOR: float(request.regularisation),
            r.PADDING_FACTOR: float(request.padding),
            r.REFERENCE_DIMENSIONALITY: 3,
            r.ORIGINAL_IMAGE_SIZE: request.box,
            r.CURRENT_IMAGE_SIZE: request.current_size,
            r.PIXEL_SIZE: float(request.pixel_size),
            r.PARTICLE_DIAMETER: float(request.diameter),
        }
        shells = len(request.tau2)
        # all zero, as in RELION's classifications: Blush takes any other FSC for that of a refinement
        spectra = {r.SPECTRAL_INDEX: range(shells), r.REFERENCE_TAU2: request.tau2, r.GOLD_STANDARD_FSC: np.zeros(shells)}
        write_star(self.path(".star"), [StarBlock.list(r.EXTERNAL_GENERAL, general), StarBlock.loop(r.EXTERNAL_TAU2, spectra)])

    def result(self, box: int) -> npt.NDArray[np.float32]:
        """The map that the program made, shape (box, box, box).

        Raises
        ------
        FileMissingError
            There is none.
        FileFormatError
            Another size, or values that are not finite.
        """
        path = self.path(".mrc")
        shape = mrc_header(path).shape
        if shape != (box,) * 3:
            found = " x ".join(map(str, shape))
            raise FileFormatError(f"Expected a map of {box} x {box} x {box} voxels in {path}, found {found} (z, y, x).")
        volume = read_mrc(path)
        require_finite(volume, path)
        return volume

    def keep_log(self, title: str) -> None:
        """Append what the program said to the job's run.out."""
        said = self.path(".out").read_bytes().decode("utf-8", "replace").replace("\r", "\n").rstrip()
        with self.folder.file("run.out").open("a", encoding="utf-8") as log:
            log.write(f"{title}\n" + (f"{said}\n" if said else ""))

    def last_words(self) -> str:
        """The last line that the program said."""
        lines = self.path(".out").read_bytes().decode("utf-8", "replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
