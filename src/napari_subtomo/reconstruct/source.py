"""What particles are averaged from, and why."""

from __future__ import annotations

from typing import Literal

from napari_subtomo.errors import InputError, OptionError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import Project
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.tilts.images import missing_image

Source = Literal["tilts", "subtomograms"]


def choose_source(
    options: ReconstructOptions, particles: ParticleSet, tomograms: TomogramSet | None, project: Project
) -> tuple[Source, str]:
    """The source, and a sentence that says which it is and why.

    Without a choice of the user: subtomograms where the particles have image files, else the tilt images; and the tilt images where options
    ask for what only they can give.

    Raises
    ------
    OptionError
        Subtomograms are wanted together with what only tilt images can give.
    InputError
        Neither is there.
    """
    needs = options.needs_tilts
    if options.source == "subtomograms":
        if needs:
            raise OptionError(f"Expected --from tilts for {needs}, found --from subtomograms; leave one of the two out.")
        return "subtomograms", "Averaging the extracted subtomograms, as asked for (--from subtomograms)."
    if options.source == "tilts":
        return "tilts", "Averaging the particles in the tilt images, as asked for (--from tilts)."
    if needs:
        return "tilts", f"Averaging the particles in the tilt images (--from tilts): only they give {needs}."
    lacking = _without_files(particles, project)
    if lacking is None:
        return "subtomograms", "Averaging the extracted subtomograms (--from subtomograms): the particles have image files."
    if tomograms is not None:
        reasons = [missing_image(tomograms.tilt_series(name)) for name in dict.fromkeys(particles.tomo_names)]
        if not any(reasons):
            return "tilts", f"Averaging the particles in the tilt images (--from tilts): {lacking}."
        why = next(reason for reason in reasons if reason)
    else:
        why = "no tomogram set names tilt images"
    raise InputError(
        f"Expected particles with images or tilt images to average, found that {lacking} and that {why}; extract the particles first, or "
        "give --tomograms."
    )


def _without_files(particles: ParticleSet, project: Project) -> str | None:
    """Why there are no subtomograms, as a clause; None where there is a file of one particle at least: a single missing one is a fault."""
    named = [text for text in particles.image_paths if text not in relion.NOT_AVAILABLE]
    if not named:
        return "the particles have no images yet"
    if any(project.resolve(text.rpartition("@")[2]).is_file() for text in dict.fromkeys(named)):
        return None
    return f"none of the particles' image files is there ({named[0]}, ...)"
