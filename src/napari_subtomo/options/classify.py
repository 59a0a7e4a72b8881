"""Options of 3D classification; names and defaults are RELION's where RELION has the option."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from napari_subtomo.options.base import SubtomogramInputOptions, option

#: What RELION 5's Class3D does by default where an option says how to do it.
RELION: Mapping[str, Any] = {
    "start": "random",
    "shrink_to": "own",
    "folds": 1,
    "noise_temperature": 1.0,
    "empty_class": False,
    "stop_when_converged": False,
    "fixed_sampling": True,
    "restarts": 1,
    "auto_mask": False,
    "classes_at_poses": 0,
    "particle_scales": False,
}


LEAST_OF_SUBSETS = 20  # iterations with fast subsets, as RELION asks for


class EMOptions(SubtomogramInputOptions):
    """What every EM job needs: reference, masks, CTF, sampling, compute."""

    reference: Path = option(..., "Reference map (.mrc), or a STAR file that lists one map per class.", title="Reference map", group="I/O")
    solvent_mask: Path | None = option(
        None,
        "Mask (0 to 1) that multiplies all references; without it a soft sphere of the mask diameter.",
        title="Reference mask",
        group="I/O",
    )
    focus_mask: Path | None = option(
        None,
        "Mask (0 to 1) of the region in which classes may differ: outside of it all are compared as their common average.",
        title="Focus mask",
        group="I/O",
    )
    absolute_greyscale: bool = option(
        False,
        "The reference has the grey scale of the particles; if not, the first iteration compares by normalised cross-correlation.",
        title="Ref. map is on absolute greyscale?",
        group="Reference",
    )
    resize_reference: bool = option(
        True,
        "Resample a reference whose box or pixel size differs from the particles'.",
        title="Resize reference if needed?",
        group="Reference",
    )
    initial_lowpass: float = option(
        60.0,
        "Resolution to which the reference is low-passed before the first iteration.",
        title="Initial low-pass filter",
        unit="Å",
        group="Reference",
        gt=0,
    )
    symmetry: str = option("C1", "Point group of the reference.", title="Symmetry", group="Reference")
    auto_mask: bool = option(
        True,
        "Without a reference mask, mask the references around what they show as well, found anew in each iteration: a tenth of the peak, "
        "extended by a quarter of the resolution; if not, by the sphere alone. Maps are written within the sphere.",
        title="Find the reference mask?",
        group="Reference",
    )
    ctf_correction: bool = option(
        True, "Use the CTF in the model; if not, only the missing wedge.", title="Do CTF-correction?", group="CTF"
    )
    ignore_ctf_until_first_peak: bool = option(
        False, "Treat the CTF as 1 below its first maximum.", title="Ignore CTFs until first peak?", group="CTF"
    )
    mask_diameter: float = option(
        ...,
        "Diameter of the spherical mask on references (and on particles if they are masked).",
        title="Mask diameter",
        unit="Å",
        group="Optimisation",
        gt=0,
    )
    mask_particles: bool = option(
        True,
        "Mask the particles in the E-step as well, with zeros outside: keeps neighbours in the box out of the comparison, at two "
        "thirds more memory for particles; the maps are always made from unmasked particles.",
        title="Mask individual particles with zeros?",
        group="Optimisation",
    )
    highres_limit: float = option(
        -1.0,
        "Finest resolution used to compare particles with references; -1: none.",
        title="Limit resolution E-step to",
        unit="Å",
        group="Optimisation",
    )
    align: bool = option(
        True, "Search orientations and offsets; if not, only the class is estimated.", title="Perform image alignment?", group="Sampling"
    )
    angular_step: float = option(
        7.5,
        "Coarsest angular step; made finer where the resolution of an iteration needs it.",
        title="Angular sampling interval",
        unit="deg",
        group="Sampling",
        gt=0,
        le=60,
    )
    local_range: float = option(
        -1.0,
        "Search within this angle of each particle's input orientation (three sigma of a Gaussian prior); -1: all orientations.",
        title="Local angular search range",
        unit="deg",
        group="Sampling",
        le=180,
    )
    global_iterations: int = option(
        3,
        "With a local range of -1: iterations that search all orientations, coarsely at first and then about the best candidates, before "
        "each particle is searched about what was found; as many as iterations: always (RELION's way).",
        title="Iterations over all orientations",
        group="Sampling",
        ge=1,
    )
    offset_range: float = option(
        5.0, "Search radius about the input position.", title="Offset search range", unit="px", group="Sampling", ge=0
    )
    offset_step: float = option(
        1.0,
        "Coarsest step of the offset search; made finer where the resolution of an iteration needs it.",
        title="Offset search step",
        unit="px",
        group="Sampling",
        gt=0,
    )
    relax_symmetry: str = option(
        "",
        "Point group whose symmetry mates of the input orientations are searched too, for particles that break it, e.g. C6; "
        "for local searches.",
        title="Relax symmetry",
        group="Sampling",
    )
    sigma_tilt: float = option(
        -1.0,
        "Standard deviation of a Gaussian prior about each particle's rlnAngleTiltPrior (its input tilt without one), cut at three sigma; "
        "local searches keep to it as well; -1: none.",
        title="Prior width on tilt angle",
        unit="deg",
        group="Sampling",
        le=90,
    )
    sigma_psi: float = option(
        -1.0,
        "The same about rlnAnglePsiPrior; -1: none.",
        title="Prior width on psi angle",
        unit="deg",
        group="Sampling",
        le=180,
    )
    fixed_sampling: bool = option(
        False, "Keep the angular and offset steps as given at every resolution.", title="Fixed sampling?", group="Sampling"
    )
    folds: int = option(
        5,
        "A particle is compared with class differences made without its own fold; 1: with everything (RELION's way).",
        title="Number of folds",
        group="Advanced",
        ge=1,
        le=20,
    )
    noise_temperature: float = option(
        -1.0,
        "Factor on the noise variance in the E-step that accounts for noise correlated between Fourier voxels; "
        "-1: measured, on the particles before the first iteration.",
        title="Noise temperature",
        group="Advanced",
    )
    preread: Literal["auto", "yes", "no"] = option(
        "auto",
        "Keep all particles in memory while the job runs; no: read them from scratch space in float16 whenever they are needed; "
        "auto: in memory where they fit.",
        title="Pre-read all particles into RAM?",
        group="Compute",
    )
    device: str = option(
        "auto",
        "Where to compute: auto, cpu, cuda:N, or several GPUs, which share the particles (cuda:0,cuda:1).",
        title="Which GPUs to use",
        group="Compute",
    )
    threads: int = option(2, "CPU threads.", title="Number of threads", group="Compute", ge=1)
    seed: int = option(1, "Random seed.", title="Random seed", group="Compute", ge=0)


class ClassifyOptions(EMOptions):
    """3D classification (Class3D)."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {"relion": RELION}

    preset: Literal["default", "relion"] = option(
        "default",
        "relion: begin, regularise and sample as RELION does; what is given beside it wins.",
        title="Preset",
        group="Optimisation",
    )
    classes: int = option(
        1, "Number of classes, the empty class not counted.", title="Number of classes", group="Optimisation", ge=1, le=50
    )
    iterations: int = option(25, "Number of iterations.", title="Number of iterations", group="Optimisation", ge=1)
    fast_subsets: bool = option(
        False,
        "Only a random part of the particles takes part in each of the first 15 iterations: 1500 a class up to the fifth, 4500 up to the "
        "tenth, then the larger of 4500 a class and 30 %; at least 20 iterations.",
        title="Use fast subsets (for large data sets)?",
        group="Optimisation",
    )
    stop_when_converged: bool = option(
        True,
        "Stop before the last iteration when changes of classes, orientations and offsets get no smaller and the resolution does not grow.",
        title="Stop when nothing changes?",
        group="Optimisation",
    )
    regularisation: float = option(
        1.0, "Larger: more fine detail and more noise in the classes.", title="Regularisation parameter T", group="Optimisation", gt=0
    )
    empty_class: bool = option(
        True,
        "An extra class without density takes false picks; its number follows the last real class.",
        title="Empty class for false picks?",
        group="Optimisation",
    )
    blush: bool = option(
        False,
        "Let RELION 5's denoising network make the references: its program relion_python_blush must be installed; it runs once for each "
        "class and fold of every iteration.",
        title="Use Blush regularisation?",
        group="Optimisation",
    )
    external_reconstruct: str = option(
        "",
        "Program that makes the references from numerators and denominators, with its arguments; it gets the name of a STAR file in "
        "RELION's format for external reconstruction, once for each class and fold of every iteration.",
        title="External reconstruction program",
        group="Advanced",
    )
    start: Literal["leave-one-out", "random"] = option(
        "leave-one-out",
        "How classes begin from one reference: leave-one-out clustering at the poses of a common average, or RELION's random assignment.",
        title="How classes begin",
        group="Advanced",
    )
    shrink_to: Literal["consensus", "own"] = option(
        "consensus",
        "What the references of the E-step are regularised towards: the common average, or zero (RELION's way).",
        title="Regularise classes towards",
        group="Advanced",
    )
    consensus_iterations: int = option(
        5,
        "Iterations with one common class before the classes begin (start leave-one-out).",
        title="Common iterations before",
        group="Advanced",
        ge=1,
    )
    restarts: int = option(
        8,
        "Random starts of the leave-one-out clustering; the partition most of them agree on is taken.",
        title="Random starts of the clustering",
        group="Advanced",
        ge=1,
    )
    classes_at_poses: int = option(
        20_000,
        "In sets of at most so many particles, judge the class of each at its best pose, against references without its own share, in "
        "every iteration until that changes no class; of larger ones, and then, in every fifth and the last. With 0 by the sum over poses, "
        "against references without its fold.",
        title="Judge classes at best poses up to",
        unit="particles",
        group="Advanced",
        ge=0,
    )
    class_limit: float = option(
        -1.0,
        "Finest resolution by which classes are told apart at fixed poses, 0 for all that is compared; -1: automatic, where halves of the "
        "particles agree best about them.",
        title="Limit resolution of classes to",
        unit="Å",
        group="Advanced",
    )
    assignment: Literal["soft", "best-pose", "best"] = option(
        "soft",
        "Poses of a particle that enter the maps: all by their probability, the best of each class, or the best class and pose alone; "
        "iterations over all orientations take all.",
        title="Poses that enter the maps",
        group="Advanced",
    )
    initial_uncertainty: float = option(
        1.0,
        "Factor on the noise temperature when the classes begin, which falls to 1 within five iterations.",
        title="Initial classification uncertainty",
        group="Advanced",
        ge=1,
        le=100,
    )
    nonnegative: bool = option(
        False,
        "Set negative values of the references to zero before particles are compared.",
        title="References not negative?",
        group="Advanced",
    )
    map_limit: float = option(
        -1.0,
        "Finest resolution of the maps that are written, 0 for Nyquist; -1: automatic, three shells beyond what is compared.",
        title="Limit resolution of maps to",
        unit="Å",
        group="Advanced",
    )
    noise_by: Literal["optics-group", "tomogram"] = option(
        "optics-group",
        "What has a noise spectrum of its own: each optics group (RELION 5's way), or each tomogram, drawn to that of its optics group "
        "where its particles are few.",
        title="Noise spectra by",
        group="Advanced",
    )
    particle_scales: bool = option(
        True,
        "Fit a grey scale for each particle, drawn to that of its tomogram; if not, one for each tomogram, as RELION does. "
        "Particles that differ in brightness would else fall into bright and dark classes.",
        title="Scale of each particle?",
        group="Advanced",
    )
    repeats: int = option(
        1,
        "Classifications in all: each beyond the first is made of two random halves on their own that label each other, which gives "
        "particles and classes a stability and tells which classes are not distinct.",
        title="Number of repeats",
        group="Optimisation",
        ge=1,
        le=50,
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        chosen = cls.PRESETS.get(str(given.get("preset"))) if isinstance(given, Mapping) else None
        return given if chosen is None else {**chosen, **given}

    @model_validator(mode="after")
    def _sensible(self) -> ClassifyOptions:
        if self.relax_symmetry and (not self.align or self.local_range < 0):
            raise ValueError(
                "expected a local search with alignment to relax a symmetry, found none; give --local-range, 0 for the mates alone "
                "(a search over all orientations finds the mates anyway)"
            )
        if self.fast_subsets and self.iterations < LEAST_OF_SUBSETS:
            raise ValueError(
                f"expected at least {LEAST_OF_SUBSETS} iterations with fast subsets, found {self.iterations}: all particles take part "
                "from the sixteenth on; use more iterations, or all particles in each"
            )
        if self.fast_subsets and self.repeats > 1:
            raise ValueError(
                "expected all particles in every iteration for repeats, found fast subsets: halves begin from the poses of all particles; "
                "use one or the other"
            )
        if self.repeats > 1 and self.align and self.local_range < 0 and (self.start == "random" or self.classes == 1):
            raise ValueError(
                "expected a local search, or classes that begin by leave-one-out, for repeats, found a search over all orientations with "
                "random classes; give --local-range or --start leave-one-out"
            )
        if self.repeats > 1 and self.align and self.local_range < 0 and self.global_iterations > self.consensus_iterations:
            raise ValueError(
                f"expected all orientations to be searched in the common iterations alone for repeats, found {self.global_iterations} such "
                f"searches and {self.consensus_iterations} common iterations; use fewer of the former or more of the latter"
            )
        if self.blush and self.external_reconstruct:
            raise ValueError(
                "expected one program that makes the references, found --blush and --external-reconstruct; leave one of them out"
            )
        if self.align and self.offset_range > 0 and self.offset_step > 2 * self.offset_range:
            raise ValueError(
                f"expected an offset step of at most twice the offset range ({self.offset_range} px), found {self.offset_step} px; "
                "choose a smaller step"
            )
        return self
