"""Simulate a project: densities, scenes, tilt images with noise of the wanted level, tomograms, tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError, OptionError
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.progress import Reporter, Silent
from napari_subtomo.simulate import files
from napari_subtomo.simulate.backproject import backproject
from napari_subtomo.simulate.densities import Volume, build_complex, gold_bead, membrane_piece, render
from napari_subtomo.simulate.images import Slicer
from napari_subtomo.simulate.maps import read_density
from napari_subtomo.simulate.scene import FALSE_NAMES, STRUCTURED, Scene, make_scene, tilt_series
from napari_subtomo.simulate.series import clean_series, patch_size, scale_and_add_noise

OTHER_FOLD = 1000  # added to the seed of the densities


@dataclass(frozen=True)
class Densities:
    """Species by name, then what false picks show."""

    species: dict[str, Volume]
    false: dict[str, Volume]

    @property
    def all(self) -> list[Volume]:
        """In the order of `Scene.kinds`."""
        return [*self.species.values(), *self.false.values()]


def make_sample(directory: str | Path, seed: int = 1, reporter: Reporter | None = None, **overrides: Any) -> JobResult:
    """Simulate a project into a folder.

    Parameters
    ----------
    directory : str or Path
        Made if missing.
    seed : int
    reporter : Reporter, optional
    **overrides
        Any option of `SimulateOptions`.

    Returns
    -------
    JobResult
        With the paths of particles, tomograms, optimisation_set, truth and densities.
    """
    try:
        options = SimulateOptions(seed=seed, **overrides)
    except ValidationError as error:
        found = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        text = "; ".join(f"option {name}: {what}" if name else what for name, what in found)
        raise OptionError(f"{text[:1].upper()}{text[1:]}.") from error
    root = Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    return run(options, JobFolder(Project(root), root), reporter or Silent())


def run(options: SimulateOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Simulate a project into `folder.path`, to which all paths in its files are relative.

    Raises
    ------
    InputError
        The folder holds a project that was not simulated, or a map cannot be used.
    OptionError
        The objects do not fit into the tomograms.
    """
    started = time.monotonic()
    project_ = Project(folder.path)
    if folder.file("tomograms.star").exists() and not folder.file("truth.star").exists():
        raise InputError(
            f"Expected an empty folder or an earlier sample, found a project of its own in {folder.path}; choose another folder."
        )
    frame = Frame(options.size_xyz, options.pixel_size, options.binning)
    names = [f"TS_{i + 1:02d}" for i in range(options.tomograms)]
    series = [tilt_series(options, name, i) for i, name in enumerate(names)]

    reporter.stage("densities and places")
    densities = make_densities(options, reporter)
    scenes = [make_scene(options, list(densities.species), i, s, frame) for i, s in enumerate(series)]

    reporter.stage("tilt images", sum(len(s) for s in series), "images")
    slicers = [Slicer(volume, patch_size(options)) for volume in densities.all]
    images = [clean_series(options, slicers, scene, s, frame, reporter) for scene, s in zip(scenes, series, strict=True)]
    scale, measured = scale_and_add_noise(options, images, scenes, series, frame, slicers)

    reporter.stage("tomograms", len(names), "tomograms")
    for name, stack, one in zip(names, images, series, strict=True):
        for t, image in enumerate(stack):
            write_mrc(folder.file(files.image_name(name, t)), image, options.pixel_size)
        volume = backproject(stack, one, frame)
        write_mrc(folder.file(files.tomogram_name(name)), volume, frame.voxel_size)
        files.write_tilt_series(project_, one)
        reporter.advance()

    reporter.stage("tables")
    for name, volume in (*densities.species.items(), *((name, densities.false[name]) for name in options.structured)):
        write_mrc(folder.file(f"densities/{name}.mrc"), volume * scale, options.pixel_size)
    files.write_tables(project_, options, names, scenes)
    return _result(options, folder, names, scenes, list(densities.species), measured, time.monotonic() - started, reporter)


def make_densities(options: SimulateOptions, reporter: Reporter) -> Densities:
    """Own maps or the made-up species, and the structured false objects, on the sample's grid."""
    box, pixel = options.box, options.pixel_size
    made_up = build_complex(options.diameter, options.domain_fraction, options.density_seed, max(1, options.species - 1))
    whole, *others = (render(np.concatenate([made_up.core, domain]), box, pixel) for domain in made_up.domains)
    species = {"holo": whole, "apo": render(made_up.core, box, pixel)}
    species |= {f"holo_{number}": other for number, other in enumerate(others, start=2)}
    if options.map:
        power = float(np.sqrt((whole.astype(np.float64) ** 2).mean()))  # so that beads and membranes keep their contrast
        species = {}
        for path in options.map:
            name = path.stem if path.stem not in (*species, *FALSE_NAMES) else f"{path.stem}_{len(species) + 1}"
            species[name] = read_density(path, pixel, box, options.diameter) * np.float32(power)
            if species[name].sum() < 0:
                reporter.warn(f"The map {path} is darker inside than outside; it should have bright protein (positive density).")
    bead, membrane = gold_bead(box, pixel), membrane_piece(box, pixel, options.diameter)
    return Densities(species, dict(zip(STRUCTURED, (bead, membrane, _another_protein(options)), strict=True)))


def _another_protein(options: SimulateOptions) -> Volume:
    """A complex of another fold and four fifths of the size; nothing at all where none is wanted."""
    box = options.box
    if "protein" not in options.structured:
        return np.zeros((box, box, box), np.float32)
    other = build_complex(0.8 * options.diameter, options.domain_fraction, options.density_seed + OTHER_FOLD)
    return render(np.concatenate([other.core, other.domain]), box, options.pixel_size)


def _result(
    options: SimulateOptions,
    folder: JobFolder,
    names: Sequence[str],
    scenes: Sequence[Scene],
    species: Sequence[str],
    measured: dict[str, float],
    seconds: float,
    reporter: Reporter,
) -> JobResult:
    """What was made, in sentences and numbers."""
    made = [name for scene in scenes for name in scene.names]
    number = {name: made.count(name) for name in (*species, *(k for k in STRUCTURED if k in options.structured), "empty")}
    true = [scene.classes > 0 for scene in scenes]
    errors = np.concatenate([angular_distance(s.picked_matrices[t], s.matrices[t]) for s, t in zip(scenes, true, strict=True)])
    rms = float(np.sqrt((errors**2).mean()))
    summary = (
        f"{len(made)} picks in {len(names)} tomograms: " + ", ".join(f"{count} {name}" for name, count in number.items()) + ".",
        f"SNR {measured['snr']:.4f} in particle discs of the untilted images (wanted {options.snr:g}); "
        f"orientations {rms:.1f} deg off (r.m.s., largest {errors.max():.1f}).",
        f"Box {options.box} px holds {options.box * options.pixel_size:.0f} Å; {seconds:.0f} s.",
    )
    for line in summary:
        reporter.message(line)
    numbers = {
        "picks": len(made),
        "true": int(sum(t.sum() for t in true)),
        "snr": measured["snr"],
        "disc_fraction": measured["disc_fraction"],
        "prior_error_rms": rms,
        "box_size": options.box,
        "seconds": round(seconds, 1),
        **{f"picks_{name}": count for name, count in number.items()},
    }
    outputs = {role: folder.file(f"{role}.star") for role in ("particles", "tomograms", "optimisation_set", "truth")}
    outputs |= {f"density_{name}": folder.file(f"densities/{name}.mrc") for name in species}
    return JobResult(outputs, summary, numbers)
