"""What is to be cut from which tomogram, checked before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.errors import GeometryError, InputError, OptionError
from napari_subtomo.extract.resample import Resampling
from napari_subtomo.extract.volumes import Volume, open_volume
from napari_subtomo.geometry.projection import defocus_offset, project
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FOLDER = "Subtomograms"
VERSION = 1  # of the numbers written: raise it when equal options give other files
OUTSIDE = "reaches beyond the tomogram"


@dataclass(frozen=True, eq=False)
class Plan:
    """The particles of one tomogram.

    Attributes
    ----------
    tomogram : Tomogram
    series : TiltSeries
    volume : Volume
    resampling : Resampling
    rows : ndarray of int, shape (n,)
        Rows in the particle set whose boxes fit.
    outside : ndarray of int
        Rows whose boxes do not.
    stems : tuple of str
        Of each particle in `rows`: its files without their endings, relative to the job folder.
    centres : ndarray, shape (n, 3)
        Fractional voxels, zyx.
    defocus_offsets : ndarray, shape (n, n_tilts)
        What the depth of the particle adds to the defocus, Å.
    """

    tomogram: Tomogram
    series: TiltSeries
    volume: Volume
    resampling: Resampling
    rows: IntArray
    outside: IntArray
    stems: tuple[str, ...]
    centres: FloatArray
    defocus_offsets: FloatArray

    def fingerprint(self, options: ExtractOptions) -> str:
        """A text that changes when any of the files would."""
        relevant = options.model_dump(
            mode="json", exclude={"optimisation_set", "particles", "tomograms", "trajectories", "device", "threads"}
        )
        states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.volume.paths]
        tomogram = self.tomogram
        optics = [tomogram.voltage, tomogram.cs, tomogram.amplitude_contrast, tomogram.frame.pixel_size, tomogram.frame.binning]
        digest = hashlib.sha256(json.dumps([VERSION, relevant, states, optics, self.stems]).encode())
        series = self.series
        for array in (
            *(series.x_tilt, series.y_tilt, series.z_rot, series.defocus_u, series.defocus_v, series.defocus_angle),
            *(series.phase_shift, series.scale, series.dose, series.bfactor, self.centres, self.defocus_offsets),
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def make_plans(
    options: ExtractOptions, particles: ParticleSet, positions: FloatArray, tomograms: TomogramSet, reporter: Reporter
) -> list[Plan]:
    """Plans of all tomograms that particles lie in, in the order of their first particle.

    Parameters
    ----------
    options : ExtractOptions
    particles : ParticleSet
    positions : ndarray, shape (n, 3)
        True positions, xyz, Å from the centre.
    tomograms : TomogramSet
    reporter : Reporter

    Raises
    ------
    InputError
        Unknown or unusable tomograms, a binning below theirs, names that clash, or not one box that fits.
    """
    names = np.asarray(particles.tomo_names, dtype=object)
    stems = file_stems(particles)
    plans = []
    for name in dict.fromkeys(particles.tomo_names):
        rows = np.flatnonzero(names == name)
        plans.append(_plan(options, tomograms, name, rows, positions[rows], stems, reporter))
        reporter.check()
    if not any(len(plan.rows) for plan in plans):
        _refuse(options, plans)
    return plans


def _plan(
    options: ExtractOptions,
    tomograms: TomogramSet,
    name: str,
    rows: IntArray,
    positions: FloatArray,
    stems: Sequence[str],
    reporter: Reporter,
) -> Plan:
    tomogram = tomograms[name]
    frame = tomogram.frame
    if options.binning < 0.999 * frame.binning:
        raise OptionError(
            f"Expected a binning of at least {frame.binning:g}, that of the tomogram {name}, found {options.binning:g}; "
            "use a larger --binning or reconstruct the tomograms finer."
        )
    volume = open_volume(tomogram, denoised=options.use_denoised, warn=reporter.warn)
    series = tomograms.tilt_series(name)
    if len(series) == 0:
        raise InputError(f"Expected tilts of the tomogram {name} in {tomogram.tilt_series_path}, found none.")
    resampling = Resampling(options.box_size, options.binning / frame.binning)
    centres = frame.voxels_zyx(positions)
    # the box in which the CTF is applied may reach out, the one that is written may not
    fits = Resampling(options.written_size, resampling.ratio).fits(centres, volume.shape)
    depth = project(positions[fits], series, frame, (0, 0))[:, :, 2]
    return Plan(
        tomogram=tomogram,
        series=series,
        volume=volume,
        resampling=resampling,
        rows=rows[fits],
        outside=rows[~fits],
        stems=tuple(stems[row] for row in rows[fits]),
        centres=centres[fits],
        defocus_offsets=defocus_offset(depth, frame.pixel_size, tomogram.hand, tomogram.defocus_slope).T,
    )


def _refuse(options: ExtractOptions, plans: Sequence[Plan]) -> None:
    """Say why no particle can be extracted."""
    size = options.written_size
    largest = max(plans, key=lambda plan: min(plan.volume.shape) / plan.resampling.ratio)
    limits = [int((n - 1) / largest.resampling.ratio) + 1 for n in largest.volume.shape]
    if min(limits) < size:
        sizes = " x ".join(str(n) for n in reversed(limits))
        raise GeometryError(
            f"Expected a box that fits into a tomogram ({sizes} px in {largest.tomogram.name} at binning {options.binning:g}), "
            f"found {size} px; use a smaller --box-size or --crop-size, or a larger --binning."
        )
    number = sum(len(plan.outside) for plan in plans)
    raise GeometryError(
        f"Expected particles whose box of {size} px lies inside their tomogram, found none among {number}; "
        "use a smaller --box-size or --crop-size, or check that the coordinates belong to these tomograms."
    )


def file_stems(particles: ParticleSet) -> tuple[str, ...]:
    """Files of each particle without their endings, relative to the job folder: ``Subtomograms/<tomogram>/<n>``, as RELION names them.

    Raises
    ------
    InputError
        Two particles of one name, or a name that leads out of the folder.
    """
    stems = []
    for row, (name, tomogram) in enumerate(zip(particles.names, particles.tomo_names, strict=True)):
        path = PurePosixPath(name if "/" in name else f"{tomogram}/{name}")
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise InputError(f"Expected a particle name such as {tomogram}/1 in row {row + 1}, found {name!r}; rename the particle.")
        stems.append((PurePosixPath(FOLDER) / path).as_posix())
    seen: dict[str, int] = {}
    for row, stem in enumerate(stems):
        if stem in seen:
            raise InputError(
                f"Expected different particle names, found {particles.names[row]} in rows {seen[stem] + 1} and {row + 1}; "
                "number the particles again, or remove the column of names."
            )
        seen[stem] = row
    return tuple(stems)


def record_path(folder: Path, tomogram: str) -> Path:
    """Where the fingerprint of a tomogram's files is kept."""
    return folder / FOLDER / f"{tomogram}.json"
