"""CTF handedness, and signs and shifts of tilt angles: what is claimed against what else could be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.check.sample import Sample
from napari_subtomo.check.trials import Comparison, Grid, Source, Trial, Trials, compare, from_images, insert_trials
from napari_subtomo.check.verdict import CANNOT, FAIL, PASS, Status, Verdict
from napari_subtomo.check.wedge import Directions, Turn
from napari_subtomo.data.subtomograms import SubtomogramSource
from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.io.stacks import StackSubtomograms
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.numerics.ctf import electron_wavelength
from napari_subtomo.progress import Reporter
from napari_subtomo.tilts.images import missing_image

FloatArray = npt.NDArray[np.float64]
HAND_Z = 4.0  # other faults of the geometry give up to 3.9
TILT_Z = 6.0  # overlapping particles are not quite independent: 4.7 was seen among sets of noise
FEWEST = 20  # particles
MATCH = 0.6  # correlation of power with tilt angles below which nothing is said
TURN = 4.0  # degrees
SURE = 3.0
ROOM = 2**30  # bytes that inserted particles may take
COARSE = 32  # voxels of the box in which tilt angles are tried
CLAIMED = Trial("as in the files")
OTHER_HAND = Trial("other hand", hand=-1)
TILTS = (Trial("angles of the other sign", sign=-1), Trial("angles 10° lower", shift=-10), Trial("angles 10° higher", shift=10))


@dataclass(frozen=True)
class Tried:
    """The trials that could be made.

    Attributes
    ----------
    hand : Comparison or None
        Claimed against the other hand.
    hand_voxel : float
        Å a voxel of its box, of `hand_box` voxels.
    depth : float
        Root mean square change of defocus, Å.
    tilts : mapping of str to Comparison
        Each alternative against what is claimed.
    source : str
        What particles were cut from.
    reason : str
        Why there are none.
    """

    hand: Comparison | None = None
    hand_box: int = 0
    hand_voxel: float = 1.0
    depth: float = 0.0
    tilts: Mapping[str, Comparison] = field(default_factory=dict)
    source: str = ""
    reason: str = ""


def even(number: float) -> int:
    """The even number at or above."""
    return 2 * int(np.ceil(number / 2))


def hand_grid(sample: Sample, diameter: float, square: int | None, binning: float) -> Grid:
    """Squares of the box in which the extraction applied the CTF, and a box about the particle."""
    side = max(square or sample.box, sample.box)
    return Grid(even(side), min(even(1.2 * diameter / sample.pixel_size), even(side)), binning)


def coarse_grid(sample: Sample, unbinned: float) -> Grid:
    """The extent of the files in a box of few voxels."""
    extent = even(sample.extent / unbinned)
    box = min(COARSE, extent)
    return Grid(box, box, extent / box)


def try_geometries(
    sample: Sample,
    diameter: float,
    tomograms: TomogramSet | None,
    source: SubtomogramSource,
    square: int | None,
    folder: Path,
    threads: int,
    reporter: Reporter,
) -> Tried:
    """Insert the particles under all trials that the files allow.

    Parameters
    ----------
    sample : Sample
    diameter : float
        Å.
    tomograms : TomogramSet or None
    source : SubtomogramSource
        The particles; 2D stacks are used where there are no tilt images.
    square : int or None
        Box before cropping, px.
    folder : Path
        For temporary files.
    threads : int
    reporter : Reporter
    """
    if tomograms is None:
        return Tried(reason="there is no tomogram set")
    if sample.n < FEWEST:
        return Tried(reason=f"{sample.n} particles are too few, {FEWEST} are needed")
    missing = next(filter(None, (missing_image(tomograms.tilt_series(name)) for name in sample.tomogram_names)), None)
    stacks = source if isinstance(source, StackSubtomograms) else None
    if missing and stacks is None:
        return Tried(reason=f"3D particles hold sums over tilts, and {missing}")
    pixels = [tomograms[name].pixel_size for name in sample.tomogram_names]
    unbinned = float(pixels[0] or sample.pixel_size)
    try:
        if missing:
            assert stacks is not None
            return _from_stacks(sample, diameter, stacks, threads, reporter)
        grid = hand_grid(sample, diameter, square, max(1.0, sample.pixel_size / unbinned))
        count = int(np.clip(ROOM // (2 * 8 * grid.box**3 // 2), FEWEST, sample.n))
        few = sample.particles.select(np.unique(np.linspace(0, sample.n - 1, count).astype(int)))
        both = (CLAIMED, OTHER_HAND)
        fine = insert_trials(few, from_images(few, tomograms, both, grid, folder), both, grid, threads, reporter)
        low, all_trials = coarse_grid(sample, unbinned), (CLAIMED, *TILTS)
        images = from_images(sample.particles, tomograms, all_trials, low, folder)
        coarse = insert_trials(sample.particles, images, all_trials, low, threads, reporter)
    except SubtomoError as error:
        return Tried(reason=str(error).rstrip("."))
    return _tried(fine, coarse, grid, sample.pixel_size, "tilt images")


def _from_stacks(sample: Sample, diameter: float, stacks: StackSubtomograms, threads: int, reporter: Reporter) -> Tried:
    from napari_subtomo.check.from_stacks import stack_source

    grid = Grid(stacks.square, stacks.box, 1.0)

    def inserted(trials: Sequence[Trial]) -> Trials:
        made: Source = stack_source(stacks, sample.particles, trials, grid)
        return insert_trials(sample.particles, made, trials, grid, threads, reporter)

    count = ROOM // (4 * 8 * grid.box**3 // 2)
    if count < FEWEST:
        raise InputError(f"Expected boxes that fit into memory many times over, found {grid.box} px.")
    return _tried(inserted((CLAIMED, OTHER_HAND)), inserted((CLAIMED, *TILTS)), grid, sample.pixel_size, "2D stacks")


def _tried(fine: Trials, coarse: Trials, grid: Grid, pixel_size: float, source: str) -> Tried:
    if min(len(fine.rows), len(coarse.rows)) < FEWEST:
        return Tried(reason=f"only {len(fine.rows)} particles lie inside the tilt images, {FEWEST} are needed")
    tilts = {trial.name: compare(coarse, trial.name, CLAIMED.name) for trial in TILTS}
    depth = float(np.sqrt(np.mean(fine.depth**2)))
    return Tried(compare(fine, CLAIMED.name, OTHER_HAND.name), grid.box, pixel_size, depth, tilts, source)


def check_hand(tried: Tried, hands: Sequence[float], voltage: float | None, doubt: str = "") -> Verdict:
    """Which sign of the change of defocus with depth makes the particles agree better.

    Parameters
    ----------
    tried : Tried
    hands : sequence of float
        Of the tomograms.
    voltage : float or None
        kV.
    doubt : str
        What is wrong otherwise, so that the hand cannot be judged.
    """
    rule = (
        "Particles inserted anew with the defocus gradient of either sign; difference of how well each agrees with the average of all "
        f"others: pass or fail beyond {HAND_Z:g} standard errors (n of at least {FEWEST}). Not judged without signal or with wrong tilt "
        "angles."
    )
    found = tried.hand
    if found is None:
        return Verdict("hand", CANNOT, f"Not tried: {tried.reason}.", rule, {})
    length = tried.hand_box * tried.hand_voxel
    reach = {name: _reach(curve, length) for name, curve in zip(("here", "other"), found.fsc, strict=True)}
    numbers: dict[str, Any] = {
        "z": round(found.z, 3), "better_fraction": round(found.better, 4), "particles": found.n, "hand": sorted(set(hands)),
        "source": tried.source, "depth": round(tried.depth, 1), "resolution_here": reach["here"], "resolution_other": reach["other"],
    }  # fmt: skip
    best = [value for value in reach.values() if value]
    if voltage and best:
        # difference of the phases of the two CTFs
        numbers["phase_difference"] = round(2 * np.pi * electron_wavelength(voltage) * tried.depth / min(best) ** 2, 3)
    share = f"{100 * found.better:.0f} % of {found.n} particles fit better with the hand of the files ({found.z:+.1f} standard errors)"
    text = ", ".join(f"{hand:+g}" for hand in sorted(set(hands)))
    if doubt:
        return Verdict("hand", CANNOT, f"Not to be told while {doubt}: {share}.", rule, numbers)
    if found.z >= HAND_Z:
        return Verdict("hand", PASS, f"The hand of the files ({text}) is right: {share}.", rule, numbers)
    if found.z <= -HAND_Z:
        return Verdict("hand", FAIL, f"The other hand than that of the files ({text}) fits better: {share}.", rule, numbers)
    why = ""
    if "phase_difference" in numbers:
        why = f"; at {min(best):.0f} Å, where particles still agree, the hands differ by {numbers['phase_difference']:.2f} rad only"
    return Verdict("hand", CANNOT, f"Not enough to tell: {share}{why}.", rule, numbers)


def _reach(curve: FloatArray, length: float) -> float | None:
    """Resolution in Å at which the correlation of half averages falls below 0.143; None where it never is above."""
    below = np.flatnonzero(curve[1:] < 0.143)
    shell = int(below[0]) if len(below) else len(curve) - 1
    return round(length / shell, 2) if shell > 0 else None


def check_wedge(found: Directions | None, turn: Turn | None, reason: str, tried: Tried) -> Verdict:
    """Whether directions in the power spectrum, and places of particles in the images, are those of the tilt angles."""
    rule = (
        f"Power by direction about the tilt axis against the tilt angles (correlation of at least {MATCH:g}): fail if they are turned "
        f"by more than {TURN:g}° and {SURE:g} standard errors; particles inserted anew with other tilt angles (other sign, 10° lower, "
        f"10° higher): fail if any makes them agree better by {TILT_Z:g} standard errors, pass if all are worse by as much."
    )
    parts: list[tuple[Status, str]] = []
    numbers: dict[str, Any] = {}
    if found is None or turn is None:
        parts.append((CANNOT, f"the power spectrum says nothing ({reason})"))
    else:
        numbers |= {"power_source": found.source, "turn": round(turn.shift, 2), "turn_error": round(turn.error, 2)}
        numbers |= {"match": round(turn.match, 3), "match_here": round(turn.match_here, 3), "match_mirrored": round(turn.mirrored, 3)}
        parts.append(_power(found, turn))
    if not tried.tilts:
        parts.append((CANNOT, f"other tilt angles were not tried ({tried.reason})"))
    else:
        numbers |= {"source": tried.source, "particles": next(iter(tried.tilts.values())).n}
        numbers |= {f"z, {name}": round(one.z, 3) for name, one in tried.tilts.items()}
        parts.append(_other_angles(tried.tilts))
    statuses = [status for status, _ in parts]
    status: Status = FAIL if FAIL in statuses else PASS if PASS in statuses else CANNOT
    ordered = sorted(parts, key=lambda part: part[0] != status)
    text = "; ".join(sentence for _, sentence in ordered)
    return Verdict("wedge", status, f"{text[:1].upper()}{text[1:]}.", rule, numbers)


def _power(found: Directions, turn: Turn) -> tuple[Status, str]:
    where = f"the power of the {found.source}"
    if turn.match < MATCH:
        return CANNOT, f"{where} does not show the tilt angles clearly enough (correlation {turn.match:.2f})"
    off = f"{where} is turned by {turn.shift:+.1f} ± {turn.error:.1f}° against the tilt angles"
    if abs(turn.shift) > TURN and abs(turn.shift) > SURE * turn.error:
        return FAIL, off
    if abs(turn.shift) + SURE * turn.error < TURN:
        return PASS, f"{where} lies where the tilt angles say ({turn.shift:+.1f} ± {turn.error:.1f}°, correlation {turn.match_here:.2f})"
    return CANNOT, off


def _other_angles(tilts: Mapping[str, Comparison]) -> tuple[Status, str]:
    name = max(tilts, key=lambda key: tilts[key].z)
    best = tilts[name].z
    if best > TILT_Z:
        return FAIL, f"particles agree better with {name} ({best:+.1f} standard errors)"
    if best < -TILT_Z:
        return PASS, f"particles agree worse with any other angles that were tried (by {-best:.1f} standard errors at least)"
    return CANNOT, f"particles do not tell the tilt angles from others ({name}: {best:+.1f} standard errors)"
