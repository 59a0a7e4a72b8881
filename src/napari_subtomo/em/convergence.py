"""When a classification stops before its last iteration: nothing changes any more, and no finer shell or step is to come.

RELION's counters of 3D auto-refine (conventions, section 7.3) made for classes: an iteration is quiet when the resolution did not grow,
the sampling stayed, and none of the changes in classes, orientations and offsets is smaller than the smallest so far. The grids move at
random from iteration to iteration, so that changes never vanish: they stop getting smaller. Classes that drift change little in one
iteration and more in several; classes of particles that nothing tells apart waver and do not. So the drift is looked at, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_subtomo.data.classes import Classes
from napari_subtomo.em.state import State
from napari_subtomo.em.subsets import last_of_subsets

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

PATIENCE = 3  # quiet iterations in a row, and those over which a drift is looked for
MARGIN = 1.03  # RELION's: what times this is not below the smallest change is no smaller one
SAMPLING_SHARE = 0.4  # RELION's: changes below this part of a step count as none
DRIFT = 1.5  # classes that changed over PATIENCE iterations against the mean change of one; 3 is a steady drift, 1 wavering
FEW = 0.01  # of the particles may always change class


def first_free(setup: Setup) -> int:
    """First iteration whose changes say anything: it and the one before let all particles choose among all classes."""
    o = setup.options
    first = setup.first_of_classes
    given = len(setup.references) > 1 or o.classes == 1
    if first == 1 and not o.absolute_greyscale:
        first += 1  # after one by cross-correlation
    if o.start == "random" and not given:
        first += 1  # after one that was told its classes
    # a subset brings particles that were not compared for long; the first iteration with all of them is the one before
    return max(first, last_of_subsets(o, len(setup.order)) + 1) + 1


def followed(setup: Setup, state: State, new: State, classes: Classes) -> State:
    """The new state, with what it says of convergence.

    Parameters
    ----------
    setup : Setup
    state, new : State
        Before and after the iteration.
    classes : Classes
        Of the iteration.
    """
    best = max(state.best_shell, new.last_shell)
    if new.iteration < first_free(setup):
        return replace(new, quiet=0, best_shell=best, smallest=np.full(3, np.inf), recent=new.labels[None])
    finer = bool(np.any(new.steps < state.steps * (1 - 1e-9)))
    smallest = np.full(3, np.inf) if finer else state.smallest
    changes = np.array([classes.change_classes, classes.change_orientations, classes.change_offsets])
    sampling = classes.sampling
    nothing = SAMPLING_SHARE * np.array([0.0, sampling.angular_step, sampling.offset_step])
    still = bool(np.all((MARGIN * changes >= smallest) | (changes <= nothing)))
    quiet = state.quiet + 1 if still and not finer and new.last_shell <= state.best_shell else 0
    known = state.recent if state.recent.shape[1:] == new.labels.shape else state.labels[None]  # a state of an earlier version has none
    recent = np.concatenate([known, new.labels[None]])[-(PATIENCE + 1) :]
    return replace(new, quiet=quiet, best_shell=best, smallest=np.minimum(smallest, changes), recent=recent)


def reason(setup: Setup, state: State) -> str:
    """Why a job may stop after this state, in a sentence; empty where it goes on."""
    if not setup.options.stop_when_converged or state.quiet < PATIENCE or len(state.recent) <= PATIENCE:
        return ""
    if len(state.judgement) and state.judged < state.iteration:  # labels that were held say nothing
        return ""
    one = float((state.recent[1:] != state.recent[:-1]).mean()) if state.recent.size else 0.0
    several = float((state.recent[-1] != state.recent[0]).mean()) if state.recent.size else 0.0
    if several > max(DRIFT * one, FEW):
        return ""
    return (
        f"Converged: in {PATIENCE} iterations no finer shell or step was needed, and changes of classes ({100 * one:.1f} % of the "
        f"particles an iteration, {100 * several:.1f} % over {PATIENCE}), orientations and offsets got no smaller"
    )
