"""What particles are extracted from, and why."""

from __future__ import annotations

from typing import Literal

from napari_subtomo.errors import OptionError
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.tilts.images import missing_image

Source = Literal["tilts", "tomogram"]


def choose_source(options: ExtractOptions, particles: ParticleSet, tomograms: TomogramSet) -> tuple[Source, str]:
    """The source, and a sentence that says which it is and why.

    Without a choice of the user: the tilt images, if those of every tomogram with particles are there.

    Raises
    ------
    OptionError
        Tilt images are wanted together with what only tomograms can give.
    """
    needs = options.needs_tomograms
    if options.source == "tilts":
        if needs:
            raise OptionError(f"Expected --from tomogram for {needs}, found --from tilts; leave one of the two out.")
        return "tilts", "Extracting from the tilt images, as asked for (--from tilts)."
    if options.source == "tomogram":
        return "tomogram", "Extracting from the tomograms, as asked for (--from tomogram)."
    if needs:
        return "tomogram", f"Extracting from the tomograms (--from tomogram): only they give {needs}."
    count = 0
    names = tuple(dict.fromkeys(particles.tomo_names))
    for name in names:
        series = tomograms.tilt_series(name)
        reason = missing_image(series)
        if reason:
            return "tomogram", f"Extracting from the tomograms (--from tomogram): {reason}."
        count += len(series)
    return "tilts", f"Extracting from the tilt images (--from tilts): all {count} images of {len(names)} tilt series are there."
