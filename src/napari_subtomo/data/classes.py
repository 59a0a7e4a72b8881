"""The state of a classification after one iteration: what is written, shown and followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sampling:
    """The grid of poses of an iteration.

    Attributes
    ----------
    angular_step : float
        Fine angular step used, degrees.
    local_range : float
        Search radius about the input orientation, degrees; -1: all orientations.
    offset_range, offset_step : float
        Å; the step is the fine one that was used.
    perturbation : float
        Random offset of the grid as a fraction of a step, -0.5 … 0.5 (RELION's meaning).
    n_rotations, n_shifts : int
        Poses per particle.
    symmetry : str
    original_angular_step, original_offset_range, original_offset_step : float
        As asked for.
    align : bool
    """

    angular_step: float
    local_range: float
    offset_range: float
    offset_step: float
    perturbation: float
    n_rotations: int
    n_shifts: int
    symmetry: str
    original_angular_step: float
    original_offset_range: float
    original_offset_step: float
    align: bool


@dataclass(frozen=True)
class Classes:
    """One iteration of a classification.

    K counts all classes, the empty class included where there is one (it is the last); S = box // 2 + 1 shells; n particles in the
    order of the input file. Resolutions are Å, 999 where unknown.

    Attributes
    ----------
    iteration, n_iterations : int
        Iteration 0 is the state before the first.
    phase : str
        "start", "consensus" (one common class) or "classes".
    pixel_size, mask_diameter : float
        Å.
    maps : ndarray, shape (K, box, box, box), float32
        Each class's own map, masked; flat (zero) for an empty class.
    has_empty : bool
    fractions : ndarray, shape (K,)
        Mean posterior, sums to 1.
    resolutions : ndarray, shape (K,)
        Å; last shell of the unbroken run with SSNR >= 1.
    completeness : ndarray, shape (K,)
        Share of Fourier space measured, 0 … 1.
    accuracy_rotations, accuracy_offsets : ndarray, shape (K,)
        Degrees, Å; 999 where not estimated.
    ssnr, tau2, sigma2, shell_completeness : ndarray, shape (K, S)
        By class and shell: signal-to-noise ratio, signal power, noise power of the map, share of measured voxels. Powers are those of the
        unnormalised transform; the writer turns them into RELION's normalisation.
    orientability : ndarray, shape (K, S)
        Share of each shell in what tells orientations apart at the accuracy's angle; 0 where not estimated.
    noise : ndarray, shape (n optics groups, S)
        Noise power per unit weight of the premultiplied transforms.
    group_names : tuple of str
        Scale groups (tomograms).
    group_counts : ndarray, shape (n groups,)
    group_scales : ndarray, shape (n groups,)
    current_resolution : float
        Å; from which the next E-step works.
    current_size : int
        Pixels; twice the last shell of the E-step.
    temperature : float
        Noise temperature of the E-step.
    sigma_offset : float
        Å.
    log_likelihood : float
    average_pmax : float
    sampling : Sampling
    angles : ndarray, shape (n, 3, 3)
        A of the best pose: reference -> subtomogram frame.
    origins : ndarray, shape (n, 3)
        Å, `rlnOrigin*Angst` of the best pose.
    class_numbers : ndarray, shape (n,)
        1-based best class.
    log_likelihoods : ndarray, shape (n,)
        Log of the summed weights relative to "nothing there".
    log_evidence : ndarray, shape (n,)
        Log evidence ratio of "one of the real classes" against the empty class; above 0 favours a particle.
    pmax : ndarray, shape (n,)
        Largest posterior of one pose and class.
    n_significant : ndarray, shape (n,)
        Poses that hold 99.9 % of the posterior.
    change_classes : float
        Fraction of particles whose class changed.
    change_orientations : float
        Degrees, RELION's mean axis distance.
    change_offsets : float
        Å, RELION's rms.
    seconds : float
        Wall time of the iteration.
    converged : str
        Why the job stops after this iteration, in a sentence; empty where it goes on.
    scales : ndarray, shape (n,), optional
        Grey scale of each particle, where they have their own.
    tomogram_noise : ndarray, shape (n groups, S), optional
        Noise of each tomogram, where they have their own; `noise` is then the mean over the particles of an optics group.
    """

    iteration: int
    n_iterations: int
    phase: str
    pixel_size: float
    mask_diameter: float
    maps: npt.NDArray[np.float32]
    has_empty: bool
    fractions: FloatArray
    resolutions: FloatArray
    completeness: FloatArray
    accuracy_rotations: FloatArray
    accuracy_offsets: FloatArray
    ssnr: FloatArray
    tau2: FloatArray
    sigma2: FloatArray
    shell_completeness: FloatArray
    orientability: FloatArray
    noise: FloatArray
    group_names: tuple[str, ...]
    group_counts: IntArray
    group_scales: FloatArray
    current_resolution: float
    current_size: int
    temperature: float
    sigma_offset: float
    log_likelihood: float
    average_pmax: float
    sampling: Sampling
    angles: FloatArray
    origins: FloatArray
    class_numbers: IntArray
    log_likelihoods: FloatArray
    log_evidence: FloatArray
    pmax: FloatArray
    n_significant: IntArray
    change_classes: float
    change_orientations: float
    change_offsets: float
    seconds: float
    converged: str = ""
    scales: FloatArray | None = None
    tomogram_noise: FloatArray | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes, the empty class included."""
        return len(self.fractions)

    @property
    def counts(self) -> IntArray:
        """Particles whose best class is each class, shape (K,)."""
        return np.bincount(self.class_numbers - 1, minlength=self.n_classes).astype(np.int64)
