"""Which poses an iteration searches, by the options, the resolution and what earlier iterations have found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_subtomo.em.expectation import EStep
from napari_subtomo.em.frames import LOCAL_SHIFTS, LOCAL_STEPS, searches_everywhere
from napari_subtomo.em.global_search import REACH, coarse_sampling
from napari_subtomo.em.poses import PoseGrid, found_grid, global_grid, pose_grid, steps_for
from napari_subtomo.em.priors import restricted, with_mates
from napari_subtomo.em.solvent import particle_radius
from napari_subtomo.em.state import State
from napari_subtomo.progress import Reporter

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

ROTATIONS_SHARE = 0.9  # largest angular step as a part of a local range: a centre and its eight neighbours


def iteration_poses(setup: Setup, state: State, iteration: int, reporter: Reporter) -> PoseGrid:
    """The grid of an iteration.

    Parameters
    ----------
    setup : Setup
    state : State
        Before the iteration.
    iteration : int
        Its number: grids are moved by random numbers that depend on it.
    reporter : Reporter
        Told where the resolution needs finer steps than were asked for.
    """
    o = setup.options
    if not o.align:
        return PoseGrid.single()
    angle, shift = o.angular_step, o.offset_step
    if not o.fixed_sampling:
        angle, shift = steps_for(state.last_shell, setup.lattice.n, particle_radius(setup, state), o.angular_step, o.offset_step)
        if (angle, shift) not in ((o.angular_step, o.offset_step), tuple(state.steps)):
            reporter.message(
                f"Shell {state.last_shell} needs finer sampling than asked for: {angle:.3g} degrees and {shift:.3g} px "
                f"instead of {o.angular_step:g} degrees and {o.offset_step:g} px (--fixed-sampling keeps the latter)."
            )
    rng = np.random.default_rng([o.seed, 1, iteration])
    if o.local_range >= 0 or setup.priors is not None:
        if o.local_range > 0:  # one orientation alone would leave every other node of the padded grid empty
            angle = min(angle, o.local_range * ROTATIONS_SHARE)
        poses = pose_grid(angle, o.local_range, shift, o.offset_range, rng)
        if setup.priors is not None and o.local_range < 0:
            poses = restricted(poses, setup.priors)
        poses = poses.beside() if o.local_range > 0 else poses
        return poses if setup.relaxed is None else with_mates(poses, setup.relaxed)
    group_order = len(setup.mates)
    if not searches_everywhere(setup, state):
        reach = LOCAL_STEPS * state.frame_step, min(LOCAL_SHIFTS * shift, o.offset_range)
        poses = found_grid(angle, reach[0], shift, reach[1], rng, group_order).beside()
        return poses if setup.relaxed is None else with_mates(poses, setup.relaxed)
    coarse_step, coarse_shift, _ = coarse_sampling(setup, state)
    return found_grid(angle, REACH * coarse_step, shift, min(coarse_shift, o.offset_range), rng, group_order).beside()


def coarse_pass(setup: Setup, state: State, fine: EStep) -> EStep:
    """The coarse pass over all orientations that precedes a fine one."""
    o = setup.options
    angle, shift, shell = coarse_sampling(setup, state)
    rng = np.random.default_rng([o.seed, 8, state.iteration + 1])
    return replace(fine, poses=global_grid(angle, shift, o.offset_range, rng, setup.mates), last_shell=shell)
