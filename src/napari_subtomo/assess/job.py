"""The job: an iteration of a classification in; its particles with false-discovery rates, the null and a picture out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.assess.nulls import Nulls, find_nulls, remove_images
from napari_subtomo.assess.picture import MIRROR_PANEL, RATES, draw_scores, threshold
from napari_subtomo.assess.rates import junk_share, mirror_q_values, mirror_scores, p_values, q_values
from napari_subtomo.assess.source import Classification, read_classification
from napari_subtomo.data.result import JobResult
from napari_subtomo.em.engine import Setup, score_particles
from napari_subtomo.em.inputs import set_up, set_up_like
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.state import State
from napari_subtomo.io import relion
from napari_subtomo.io.class3d import iteration_file
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.scratch import scratch_folder
from napari_subtomo.io.star import StarFile, read_star, write_star
from napari_subtomo.options.assess import AssessOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]

PICTURE, NULL_TABLE = "assessment.png", "nulls.star"
ONLY = "against empty background only"


@dataclass(frozen=True, eq=False)
class Scores:
    """Log evidences, particles in the order of the input file.

    Attributes
    ----------
    particles : ndarray, shape (n,)
    nulls : tuple of ndarray
        One for each null set.
    mirrored : ndarray, shape (n,), or None
        Of the particles against mirrored references.
    """

    particles: FloatArray
    nulls: tuple[FloatArray, ...]
    mirrored: FloatArray | None

    @property
    def null(self) -> FloatArray:
        """Of all null places, shape (m,)."""
        return np.concatenate(self.nulls)


def run(options: AssessOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Score the particles of an iteration and places without particles, and give every particle a false-discovery rate.

    Parameters
    ----------
    options : AssessOptions
    folder : JobFolder
        Gets the iteration's data file with columns of our own, its model, an optimiser that names both, `nulls.star`,
        `assessment.png`, and while it works the images of null places, which an unfinished run leaves for the next one.
    reporter : Reporter

    Returns
    -------
    JobResult
        Outputs "optimiser", "model", "particles", "optimisation_set", "nulls", "picture"; numbers "particles", "nulls", "junk_share",
        "accepted" and, with the mirror test, "accepted_mirror": counts at rates of 1, 5 and 10 %.

    Raises
    ------
    InputError
        Not a classification made here, no way to extract null places, or no room for them.
    """
    from threadpoolctl import threadpool_limits

    found = read_classification(options, folder.project)
    nulls = find_nulls(options, found, folder, reporter)
    blas = 1 if found.options.folds > 1 else options.threads  # as in the classification: threads are over folds
    with scratch_folder(options.scratch_dir, folder) as scratch, threadpool_limits(limits=blas, user_api="blas"):
        scores = score(options, found, nulls, folder, scratch, reporter)
    reporter.stage("tables and pictures")
    p = p_values(scores.particles, scores.null)
    share = options.junk_share if options.junk_share > 0 else junk_share(p)
    rates = q_values(scores.particles, scores.null, share)
    mirror = None if scores.mirrored is None else mirror_q_values(mirror_scores(scores.particles, scores.mirrored))
    outputs = _write(found, nulls, scores, p, rates, mirror, folder, options)
    if not options.keep_nulls:
        remove_images(folder)
    _warn(found, scores, rates, reporter)
    return JobResult(outputs, _summary(found, nulls, scores, share, rates, mirror, options), _numbers(scores, share, rates, mirror))


def score(options: AssessOptions, found: Classification, nulls: Nulls, folder: JobFolder, scratch: Path, reporter: Reporter) -> Scores:
    """Log evidence of particles and nulls, found in the same search with references that neither is in."""
    setup = set_up(found.options, found.particles, found.project, reporter, found.tomograms, scratch / "particles")
    particles = _evidence(setup, found.state, reporter)
    mirrored = _evidence(setup, replace(found.state, maps=mirror_maps(found.state.maps)), reporter) if options.mirror else None
    reporter.check()
    setup = replace(setup, prepared=_without_data(setup.prepared))  # the particles' memory is free for the nulls
    groups = np.unique(found.particles.optics_groups)
    scored = []
    for i, one in enumerate(nulls.sets):
        source: dict[str, Any] = {"tomograms": found.tomograms, "scratch": scratch / f"nulls{i}"}
        scored.append(_evidence(set_up_like(setup, one, groups, folder.project, reporter, **source), found.state, reporter))
        reporter.check()
    return Scores(particles, tuple(scored), mirrored)


def mirror_maps(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Maps (..., z, y, x) with x turned round about the centre n // 2."""
    turned = maps[..., :, :, ::-1]
    return np.ascontiguousarray(np.roll(turned, 1, axis=-1) if maps.shape[-1] % 2 == 0 else turned)


def _evidence(setup: Setup, state: State, reporter: Reporter) -> FloatArray:
    """Log evidence in the order of the file."""
    return score_particles(setup, state, reporter).log_evidence[np.argsort(setup.order)]


def _without_data(prepared: Prepared) -> Prepared:
    nothing = prepared.G[:0]
    return replace(prepared, G=nothing.copy(), GE=nothing.copy(), H=prepared.H[:0].copy())


def _write(
    found: Classification,
    nulls: Nulls,
    scores: Scores,
    p: FloatArray,
    rates: FloatArray,
    mirror: FloatArray | None,
    folder: JobFolder,
    options: AssessOptions,
) -> dict[str, Path]:
    """All files of the job; the optimiser last."""
    names = {"particles": "data", "optimisation_set": "optimisation_set", "optimiser": "optimiser"}
    outputs = {role: folder.file(iteration_file(found.iteration, name)) for role, name in names.items()}
    outputs |= {"nulls": folder.file(NULL_TABLE), "picture": folder.file(PICTURE)}
    columns: dict[str, Any] = {relion.ASSESSED_EVIDENCE: scores.particles, relion.NULL_P_VALUE: p, relion.FALSE_DISCOVERY_RATE: rates}
    panels: dict[str, tuple[FloatArray, FloatArray | None, FloatArray]] = {
        f"Particles and places without particles ({ONLY})": (scores.particles, scores.null, rates)
    }
    if mirror is not None:
        assert scores.mirrored is not None
        columns |= {relion.MIRROR_EVIDENCE: scores.mirrored, relion.MIRROR_RATE: mirror}
        panels[MIRROR_PANEL] = (mirror_scores(scores.particles, scores.mirrored), None, mirror)
    write_particles(outputs["particles"], found.data.with_columns(columns))
    write_particles(outputs["nulls"], _null_table(nulls, scores, options))
    draw_scores(outputs["picture"], panels)
    tomograms = None if found.tomograms is None or found.tomograms.path is None else folder.link(found.tomograms.path)
    trajectories = found.optimiser.text(relion.TOMO_TRAJECTORIES_FILE, "")
    motion = None if trajectories in relion.NOT_AVAILABLE else trajectories
    data = folder.name(outputs["particles"].name)
    write_optimisation_set(outputs["optimisation_set"], particles=data, tomograms=tomograms, trajectories=motion)
    outputs["model"] = folder.file(iteration_file(found.iteration, "model"))
    write_star(outputs["model"], _model(found, folder))
    cells = {relion.EXPERIMENTAL_DATA_STAR_FILE: data, relion.MODEL_STAR_FILE: folder.name(outputs["model"].name)}
    sampling = found.optimiser.text(relion.ORIENT_SAMPLING_STAR_FILE, "")
    cells[relion.ORIENT_SAMPLING_STAR_FILE] = folder.link(found.project.resolve(sampling))
    block = found.optimiser
    for label, cell in cells.items():
        block = block.with_column(label, [cell])
    write_star(outputs["optimiser"], [block])
    return outputs


def _model(found: Classification, folder: JobFolder) -> StarFile:
    """The iteration's model, so that the dock of classes and `select` find its maps from this job's folder too."""
    star = read_star(found.project.resolve(found.optimiser.text(relion.MODEL_STAR_FILE, "")))
    block = star[relion.MODEL_CLASSES]
    maps = [folder.link(found.project.resolve(text)) for text in block.texts(relion.REFERENCE_IMAGE)]
    return star.replace(block.with_column(relion.REFERENCE_IMAGE, maps))


def _null_table(nulls: Nulls, scores: Scores, options: AssessOptions) -> ParticleSet:
    """All null places and their scores; images only where they are kept."""
    labels = (relion.TOMO_NAME, relion.TOMO_PARTICLE_NAME, *relion.CENTRED, *relion.ANGLES)
    images = (relion.IMAGE_NAME, relion.CTF_IMAGE) if options.keep_nulls or options.nulls is not None else ()
    columns: dict[str, Any] = {}
    for label in (*labels, *images):
        if all(one.has(label) for one in nulls.sets):
            columns[label] = [text for one in nulls.sets for text in one.texts(label)]
    return ParticleSet.create(columns | {relion.ASSESSED_EVIDENCE: scores.null})


def _warn(found: Classification, scores: Scores, rates: FloatArray, reporter: Reporter) -> None:
    """What makes the rates too small or too large."""
    if found.options.folds == 1 or found.options.shrink_to == "own":
        reporter.warn(
            "Particles were compared with references made with themselves (one fold, or --shrink-to own), null places were not: the rates "
            "are too small."
        )
    sure = scores.particles[rates <= RATES[0]]
    if len(sure):
        high = int((scores.null >= np.median(sure)).sum())
        if high > 1:
            reporter.warn(
                f"{high} null places score as high as half of the sure particles: they are probably particles that were not picked (the "
                f"highest in {NULL_TABLE}), and make the rates too large."
            )


def _counts(rates: FloatArray) -> list[int]:
    return [int((rates <= level).sum()) for level in RATES]


def _numbers(scores: Scores, share: float, rates: FloatArray, mirror: FloatArray | None) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "particles": len(scores.particles),
        "nulls": len(scores.null),
        "junk_share": share,
        "accepted": _counts(rates),
    }
    return numbers if mirror is None else numbers | {"accepted_mirror": _counts(mirror)}


def _summary(
    found: Classification,
    nulls: Nulls,
    scores: Scores,
    share: float,
    rates: FloatArray,
    mirror: FloatArray | None,
    options: AssessOptions,
) -> tuple[str, ...]:
    """Counts first, then each class, then what they rest on."""
    n = len(rates)
    one, five, ten = _counts(rates)
    lines = [
        f"{five} of {n} particles of iteration {found.iteration} are accepted at a false-discovery rate of 5 % {ONLY} "
        f"({one} at 1 %, {ten} at 10 %)."
    ]
    classes = found.data.class_numbers
    for number in np.unique(classes).tolist():
        members = classes == number
        lines.append(f"  class {number}: {int((rates[members] <= RATES[1]).sum())} of {int(members.sum())}")
    how = "estimated" if options.junk_share <= 0 else "as given"
    apart = "" if nulls.separation is None else f", at least {nulls.separation:.0f} Å from each other"
    at = threshold(scores.particles, rates, RATES[1])
    lines.append(
        f"Null: {len(scores.null)} places without particles{apart}; log evidence {scores.null.mean():.1f} on average, "
        f"{np.percentile(scores.null, 99):.1f} at the 99th percentile; share of junk {share:.2f} ({how})"
        + ("." if at is None else f"; 5 % is reached at a log evidence of {at:.1f}.")
    )
    lines.append(f"These rates hold {ONLY}: gold beads, membranes and other proteins score above it (docs/junk.md).")
    if mirror is not None:
        one, five, ten = _counts(mirror)
        lines.append(
            f"Against mirrored references {five} are accepted at 5 % ({one} at 1 %, {ten} at 10 %): a test that structured junk does not "
            "pass, where the resolution shows the handedness."
        )
    return tuple(lines)
