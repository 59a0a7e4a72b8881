"""Which frames particles are in, and how they get into others.

A search over all orientations begins in the frames of the boxes and goes on about poses that it has found: each particle is resampled
into a frame beside its own pose (`PoseGrid.beside`), in place, and from then on one small grid of turns serves all. These poses belong
to the state of an iteration, so that a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.poses import frames_beside, needed_step, steps_for
from napari_subtomo.em.prepare import prepare
from napari_subtomo.em.resident import Residence
from napari_subtomo.em.solvent import particle_radius
from napari_subtomo.em.state import State
from napari_subtomo.progress import Reporter

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]

LOCAL_STEPS = 4.0  # radius of a search about found poses, in the angular steps at which they were found
LOCAL_SHIFTS = 3.0  # likewise, in steps of the offset


@dataclass
class Held:
    """Frames (n, 3, 3) and centres (n, 3) that the prepared particles of a setup are in at present, and copies of them on devices."""

    frames: FloatArray
    centres: FloatArray
    resident: Residence = field(default_factory=Residence)

    def are(self, frames: FloatArray, centres: FloatArray) -> bool:
        """Whether the particles are in these."""
        return np.array_equal(self.frames, frames) and np.array_equal(self.centres, centres)


def searches_everywhere(setup: Setup, state: State) -> bool:
    """Whether the iteration after a state searches all orientations."""
    o = setup.options
    return o.align and o.local_range < 0 and setup.priors is None and (state.iteration < o.global_iterations or not len(state.frames))


def in_frames(setup: Setup, state: State, reporter: Reporter) -> Setup:
    """The setup with its particles in the frames that the iteration after a state needs; they are resampled where they are in others."""
    found = setup.options.align and setup.options.local_range < 0 and not searches_everywhere(setup, state)
    frames, centres = (frames_beside(state.frames), state.centres) if found else (setup.frames, setup.input_offsets)
    if not setup.held.are(frames, centres):
        setup.held.resident.clear()
        setup.held.frames = np.zeros((0, 3, 3))  # nothing to rely on if this is stopped halfway
        prepare(
            setup.load,
            frames,
            centres,
            setup.lattice,
            setup.options.threads,
            reporter,
            setup.particle_mask,
            "Turn particles to the poses found",
            into=setup.prepared,
            device=setup.device,
        )
        setup.held.frames, setup.held.centres = frames, centres
    return replace(setup, frames=frames, centres=centres)


def next_frames(setup: Setup, state: State, new: State, step: float) -> State:
    """The new state with the poses about which particles are searched from now on.

    Parameters
    ----------
    setup : Setup
    state, new : State
        Before and after an iteration.
    step : float
        The iteration's (fine) angular step, degrees.
    """
    o = setup.options
    if not o.align or o.local_range >= 0 or setup.priors is not None:
        return new
    if searches_everywhere(setup, state):
        if new.iteration < o.global_iterations:
            return new
        return replace(new, frames=new.orientations, centres=new.offsets, frame_step=step)
    kept = replace(new, frames=state.frames, centres=state.centres, frame_step=state.frame_step)
    if o.fixed_sampling:
        return kept
    finer, _ = steps_for(new.last_shell, setup.lattice.n, particle_radius(setup, new), o.angular_step, o.offset_step)
    if finer > state.frame_step * (1 - 1e-6):
        return kept
    return replace(new, frames=new.orientations, centres=new.offsets, frame_step=needed_step(state.frame_step, finer))
