"""Values for the fields of a form, each with the reason for it: what the files and the particle's diameter say.

Nothing is suggested where there is no ground for it: then the option's default stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from napari_subtomo.io import relion
from napari_subtomo.jobs.facts import Facts

JobName = Literal["pick", "extract", "reconstruct", "classify", "select", "remove-duplicates"]

BOX_FACTOR = 1.5  # box against particle: room for what defocus and shifts move out
MASK_SHARE = 0.9  # mask against box
LOWPASS_FACTOR = 1.25  # low-pass against the resolution of the reference
UNKNOWN_LOWPASS = 60.0  # Å
LOCAL_RANGE = 15.0  # degrees, where nothing tells how good orientations are
LEAST_PER_CLASS, MOST_CLASSES = 75, 5


@dataclass(frozen=True)
class Suggestion:
    """A value for a field and one sentence that says why, with the numbers in it."""

    value: Any
    reason: str


def suggest(job: JobName | str, facts: Facts, particle_diameter: float | None = None) -> Mapping[str, Suggestion]:
    """Suggestions by field name of the job's option model; empty for a job that has none.

    Parameters
    ----------
    job : str
        A job's name, as in `jobs.registry`.
    facts : Facts
    particle_diameter : float, optional
        Å.
    """
    diameter = particle_diameter if particle_diameter and particle_diameter > 0 else None
    rules: dict[str, Callable[[Facts, float | None], dict[str, Suggestion | None]]] = {
        "pick": _pick,
        "extract": _extract,
        "reconstruct": _reconstruct,
        "classify": _classify,
        "select": _select,
        "remove-duplicates": _duplicates,
    }
    found = rules[job](facts, diameter) if job in rules else {}
    return {name: suggestion for name, suggestion in found.items() if suggestion is not None}


def good_box(least: float) -> int:
    """The smallest even box of at least `least` px, and 8, whose only prime factors are 2, 3 and 5: its Fourier transforms are fast."""
    box = max(8, 2 * math.ceil(least / 2 - 1e-9))
    while not _smooth(box):
        box += 2
    return box


def _smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def electron_wavelength(kilovolt: float) -> float:
    """Relativistic wavelength in Å: ``12.2643 / sqrt(V + 0.978466e-6 V²)`` with V in volts (Reimer & Kohl 2008, section 2.1)."""
    volt = 1000 * kilovolt
    return 12.2643 / math.sqrt(volt + 0.978466e-6 * volt**2)


def _pick(facts: Facts, diameter: float | None) -> dict[str, Suggestion | None]:
    if diameter is None:
        return {}
    reason = (
        f"Half the diameter of {diameter:g} Å: no particle on the surface is far from a pick, and what is picked twice is removed after "
        "the first alignment."
    )
    return {"spacing": Suggestion(round(diameter / 2, 1), reason)}


def _extract(facts: Facts, diameter: float | None) -> dict[str, Suggestion | None]:
    found: dict[str, Suggestion | None] = {"threads": _threads(facts)}
    if facts.tomogram_binning is not None and facts.tomogram_voxel is not None:
        reason = (
            f"The tomograms have voxels of {facts.tomogram_voxel:.4g} Å, {facts.tomogram_binning:.4g} times the pixel of the tilt series "
            f"({facts.pixel_size:.4g} Å); "
            + ("a first alignment needs nothing finer." if facts.has_tilt_images else "they hold nothing finer.")
        )
        found["binning"] = Suggestion(facts.tomogram_binning, reason)
        if diameter is not None:
            found |= box_suggestions(facts, diameter, facts.tomogram_voxel)
    return found


def box_suggestions(facts: Facts, diameter: float, pixel: float) -> dict[str, Suggestion | None]:
    """Box and cropped box for pixels of any size.

    The box that is written has 1.5 times the diameter of the particle. Defocus spreads a particle's signal at frequency k by
    ``λ·defocus·k`` to each side (the gradient of the CTF's phase); where that, at Nyquist, does not fit, the CTF is applied in a larger box
    which is cropped afterwards.

    Parameters
    ----------
    facts : Facts
    diameter : float
        Å.
    pixel : float
        Å.
    """
    least = BOX_FACTOR * diameter / pixel
    written = good_box(least)
    chosen = f"{BOX_FACTOR:g} × {diameter:g} Å = {BOX_FACTOR * diameter:g} Å = {least:.4g} px at {pixel:.4g} Å"
    chosen += f"; {written} is the next even product of small primes" if written > least else "; an even product of small primes"
    spread = _spread(facts, pixel)
    if spread is None:
        return {"box_size": Suggestion(written, f"{chosen}.")}
    wide = good_box((diameter + 2 * spread) / pixel)
    reach = f"defocus of {facts.defocus or 0:.0f} Å spreads signal at {2 * pixel:.4g} Å by {spread:.0f} Å to each side"
    whole = f"{diameter:g} + 2 × {spread:.0f} Å = {(diameter + 2 * spread) / pixel:.0f} px"
    if wide <= written:
        return {
            "box_size": Suggestion(written, f"{chosen}."),
            "crop_size": Suggestion(-1, f"The whole box: {reach}, and {whole} fit into {written} px."),
        }
    return {
        "box_size": Suggestion(wide, f"The CTF needs room: {reach}, and {whole} do not fit into {written} px."),
        "crop_size": Suggestion(written, f"{chosen}."),
    }


def _spread(facts: Facts, pixel: float) -> float | None:
    """How far defocus moves signal at Nyquist, Å."""
    if facts.defocus is None or not facts.voltage:
        return None
    return electron_wavelength(facts.voltage) * abs(facts.defocus) / (2 * pixel)


def _reconstruct(facts: Facts, diameter: float | None) -> dict[str, Suggestion | None]:
    """Extracted particles have their own box; for others, which are averaged in the tilt images, that of their extraction will do."""
    found: dict[str, Suggestion | None] = {"threads": _threads(facts)}
    if facts.extracted is not False or not facts.has_tilt_images:
        return found
    grid = _extract(facts, diameter)
    whole = grid.get("crop_size")
    if whole is not None and whole.value == -1:
        del grid["crop_size"]
    return {**grid, **found}


def _classify(facts: Facts, diameter: float | None) -> dict[str, Suggestion | None]:
    return {
        "reference": _reference(facts),
        "mask_diameter": _mask(facts, diameter),
        "highres_limit": _limit(facts),
        "initial_lowpass": _lowpass(facts),
        "local_range": _local_range(facts, diameter),
        "offset_range": _offset_range(facts, diameter),
        "classes": _classes(facts),
        "threads": _threads(facts),
    }


def _reference(facts: Facts) -> Suggestion | None:
    if facts.last_average is None:
        return None
    name = facts.last_average
    if facts.project is not None and name.is_relative_to(facts.project):
        name = name.relative_to(facts.project)
    known = f", {facts.last_resolution:.1f} Å" if facts.last_resolution else ""
    return Suggestion(facts.last_average, f"{name.as_posix()} is the newest average of the project{known}.")


def _mask(facts: Facts, diameter: float | None) -> Suggestion | None:
    if facts.particle_box is None or facts.particle_pixel is None:
        return None
    box = facts.particle_box * facts.particle_pixel
    value = math.floor(MASK_SHARE * box)
    reason = f"{100 * MASK_SHARE:.0f} % of the box of {facts.particle_box} px × {facts.particle_pixel:.4g} Å = {box:.4g} Å"
    if diameter is not None and diameter > value:
        value = math.floor(min(diameter, box))
        reason = f"The particle's diameter of {diameter:g} Å, more than {reason}"
        if diameter > box:
            reason = f"The whole box of {box:.4g} Å; the particle of {diameter:g} Å is larger: extract it again in a larger box"
    return Suggestion(float(value), f"{reason}.")


def _limit(facts: Facts) -> Suggestion | None:
    if facts.particle_pixel is None:
        return None
    nyquist = 2 * facts.particle_pixel
    return Suggestion(nyquist, f"Nyquist, 2 × {facts.particle_pixel:.4g} Å; the resolution of each iteration limits the search anyway.")


def _lowpass(facts: Facts) -> Suggestion | None:
    if facts.last_resolution is None:
        least = 4 * (facts.particle_pixel or 0)
        if least > UNKNOWN_LOWPASS:
            return Suggestion(least, f"The resolution of the reference is not known; {least:.4g} Å is half of Nyquist's frequency.")
        return Suggestion(UNKNOWN_LOWPASS, f"The resolution of the reference is not known; {UNKNOWN_LOWPASS:g} Å brings in little of it.")
    coarser = LOWPASS_FACTOR * facts.last_resolution
    step = 5 if coarser >= 20 else 1
    value = float(step * math.ceil(coarser / step - 1e-9))
    return Suggestion(
        value, f"Slightly coarser than the {facts.last_resolution:.1f} Å of the reference: × {LOWPASS_FACTOR:g}, rounded up to {value:g} Å."
    )


def _local_range(facts: Facts, diameter: float | None) -> Suggestion | None:
    if facts.orientations is None:
        return None
    if facts.orientations == "none":
        return Suggestion(-1.0, "The particles have no orientations yet: all are searched.")
    if facts.orientations == "normals":
        return Suggestion(
            -1.0, "The picks have the normals of their surface, but in-plane angles at random: all orientations are searched."
        )
    if facts.orientations == "refined" and facts.last_resolution is not None and diameter is not None:
        turn = math.degrees(math.atan2(facts.last_resolution / 2, diameter / 2))
        value = float(min(max(math.ceil(2 * turn), 6), 30))
        return Suggestion(
            value,
            f"The particles are refined to {facts.last_resolution:.1f} Å: a turn of {turn:.1f}° moves the rim of {diameter:g} Å by half of "
            f"that; {value:g}° is about twice as far.",
        )
    known = "refined" if facts.orientations == "refined" else "given"
    return Suggestion(LOCAL_RANGE, f"The orientations are {known}; {LOCAL_RANGE:g}° (three sigma, sigma {LOCAL_RANGE / 3:g}°) about them.")


def _offset_range(facts: Facts, diameter: float | None) -> Suggestion | None:
    pixel = facts.particle_pixel
    if pixel is None:
        return None
    if facts.last_resolution is not None:
        reach, reason = facts.last_resolution / 2, f"Half of the last resolution, {facts.last_resolution:.1f} Å / 2"
    elif diameter is not None:
        reach, reason = diameter / 10, f"A tenth of the particle's diameter, {diameter:g} Å / 10"
    else:
        return None
    value = float(max(2, math.ceil(reach / pixel - 1e-9)))
    least = ", at least 2 px" if reach / pixel <= 1 else ""
    return Suggestion(value, f"{reason} = {reach:.3g} Å = {reach / pixel:.2g} px at {pixel:.4g} Å{least}.")


def _classes(facts: Facts) -> Suggestion | None:
    n = facts.n_particles
    if not n:
        return None
    value = min(max(1, n // LEAST_PER_CLASS), MOST_CLASSES)
    if value == 1:
        return Suggestion(1, f"{n} particles are too few to be split: fewer than {LEAST_PER_CLASS} would be in each of two classes.")
    return Suggestion(
        value,
        f"{n} particles are {n // value} a class on average; no number is right for all samples, and false picks get their own class.",
    )


def _threads(facts: Facts) -> Suggestion | None:
    return Suggestion(facts.cores, f"This program may use {facts.cores} processor{'s' if facts.cores > 1 else ''}.")


def _select(facts: Facts, diameter: float | None) -> dict[str, Suggestion | None]:
    if facts.last_optimiser is None:
        return {}
    folder = facts.last_optimiser.parent
    if facts.project is not None and folder.is_relative_to(facts.project):
        folder = folder.relative_to(facts.project)
    reason = f"The last iteration of the newest classification, {folder.as_posix()}."
    return {"optimiser": Suggestion(facts.last_optimiser, reason)}


def _duplicates(facts: Facts, diameter: float | None) -> dict[str, Suggestion | None]:
    found: dict[str, Suggestion | None] = {}
    if diameter is not None:
        reason = f"Half the diameter of {diameter:g} Å: particles as near as that overlap, so one of them was picked twice."
        found["min_distance"] = Suggestion(round(diameter / 2, 1), reason)
    if facts.orientations == "refined":
        found["score"] = Suggestion(
            relion.MAX_VALUE_PROB_DISTRIBUTION, "The particles are refined: of two, the one with the surer pose stays."
        )
    return found
