"""The state of a classification between two iterations: all that the next iteration needs, in one file."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError
from napari_subtomo.io.atomic import atomic_path

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class State:
    """What an iteration leaves to the next. n particles are in the engine's own order; see `Engine.order`.

    Attributes
    ----------
    iteration : int
    maps : ndarray, shape (folds, classes, box, box, box), float32
        References of the next E-step, masked.
    map_noise : ndarray, shape (classes, S)
    noise : ndarray, shape (n noise groups, S)
    temperature : float
    scales : ndarray, shape (n groups,)
    log_fractions : ndarray, shape (classes + 1,)
    sigma_offset : float
        Pixels.
    last_shell : int
        Of the next E-step.
    orientations : ndarray, shape (n, 3, 3)
        Best A, reference -> subtomogram frame.
    offsets : ndarray, shape (n, 3)
        Best position relative to the box centre, pixels (x, y, z).
    labels : ndarray, shape (n,)
        1-based best class as written; the empty class is classes + 1 of the options.
    signal : bool
        Whether a shell beyond the first E-step's has ever held signal.
    steps : ndarray, shape (2,)
        Angular (degrees) and offset step (pixels) last used.
    quiet : int
        Iterations in a row that changed nothing (`convergence`).
    best_shell : int
        Largest `last_shell` so far.
    smallest : ndarray, shape (3,)
        Smallest changes of classes (fraction), orientations (degrees) and offsets (Å) so far.
    recent : ndarray, shape (m, n)
        Labels of the last iterations with all classes, the newest last.
    frames, centres : ndarray, shape (n, 3, 3) and (n, 3)
        After a search over all orientations: the pose (orientation, offset as above) about which each particle is searched further on.
        Of length 0: the input poses, or all orientations.
    frame_step : float
        Angular step at which these poses were found, degrees; 0 without them.
    figures : ndarray, shape (n, 4)
        Of each particle's last comparison, while iterations take some of the particles: log likelihood, log evidence, largest posterior,
        significant poses. Else of length 0.
    solvent : ndarray, shape (box, box, box), float32
        Mask around the particle that was found in the references and masks them; of size 0 without one.
    class_shell : int
        Last shell by which classes are told apart at fixed poses; 0 where it is not known: all that are compared.
    judgement : ndarray, shape (n, classes), float32
        Posteriors of the classes when they were judged at best poses last, NaN for particles of the empty class; of length 0: never.
    judged : int
        The iteration that judged them.
    settled : bool
        Whether that left the labels as they were.
    """

    iteration: int
    maps: npt.NDArray[np.float32]
    map_noise: FloatArray
    noise: FloatArray
    temperature: float
    scales: FloatArray
    log_fractions: FloatArray
    sigma_offset: float
    last_shell: int
    orientations: FloatArray
    offsets: FloatArray
    labels: npt.NDArray[np.int64]
    signal: bool
    steps: FloatArray
    quiet: int = 0
    best_shell: int = 0
    smallest: FloatArray = field(default_factory=lambda: np.full(3, np.inf))
    recent: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    frames: FloatArray = field(default_factory=lambda: np.zeros((0, 3, 3)))
    centres: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    frame_step: float = 0.0
    figures: FloatArray = field(default_factory=lambda: np.zeros((0, 4)))
    solvent: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    class_shell: int = 0
    judgement: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    judged: int = 0
    settled: bool = False


def write_state(path: Path, state: State) -> None:
    """Write the state whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{f.name: np.asarray(getattr(state, f.name)) for f in fields(State)})  # type: ignore[arg-type]


def read_state(path: Path) -> State:
    """Read a state. Fields with a default may be missing: an older state has no poses found by a search over all orientations.

    Raises
    ------
    FileFormatError
        The file is damaged.
    """
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            # what a state of an earlier version lacks has a default
            late = {f.name for f in fields(State) if f.default is not MISSING or f.default_factory is not MISSING}
            values = {f.name: arrays[f.name] for f in fields(State) if f.name in arrays or f.name not in late}
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise FileFormatError(
            f"Expected the state of an iteration in {path}, found a damaged file ({error}); delete it to resume from an earlier iteration."
        ) from error
    plain = {name: (value.item() if value.ndim == 0 else value) for name, value in values.items()}
    return State(**plain)
