"""Mutations of `mutations.py`: what is broken, where, and the tests that must notice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One wrong line.

    Attributes
    ----------
    name : str
    file : str
        In the package.
    right, wrong : str
        `right` stands in the file exactly once and is replaced.
    tests : tuple of str
        Test files, or tests in them, of the law that is broken.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


POSES = ("tests/geometry/test_orientations.py",)
PARTICLES = ("tests/io/test_particles.py",)
FRAMES = ("tests/geometry/test_frames.py",)
CTF = ("tests/numerics/test_ctf.py",)
WEDGE = ("tests/numerics/test_wedge.py",)
BRUTE_FORCE = ("tests/em/test_expectation.py",)
OUTSIDE = ("tests/em/test_external.py::test_a_program_that_divides_makes_our_own_references",)
OUTSIDE_FIXED = ("tests/em/test_external.py::test_particles_that_stay_in_one_orientation_lose_no_envelope",)
LEAVE_OUT = ("tests/em/test_leave_out.py", "tests/em/test_loops.py")
SOLVENT = ("tests/em/test_solvent.py",)
FEW_NODES = ("tests/numerics/test_few_nodes.py",)
MANY_POSES = ("tests/em/test_blocks.py",)
CLASS_SHELL = ("tests/em/test_class_shell.py",)
TURNING = ("tests/em/test_turning.py", "tests/numerics/test_loops.py")
LOOPS, EM_LOOPS = ("tests/numerics/test_loops.py",), ("tests/em/test_loops.py",)
ON_DEVICE = ("tests/em/test_on_device.py",)
OUTLIERS = ("tests/em/test_outliers.py",)
LARGE_SETS = ("tests/em/test_large_sets.py",)
SUBDIVISION = ("tests/em/test_subdivision.py",)
PEAKS = ("tests/em/test_peaks.py",)
STEPS = ("tests/em/test_poses.py",)
BESIDE = ("tests/em/test_frames_beside.py",)
TURNED_AGAIN = ("tests/em/test_global_search.py::test_particles_are_turned_again_when_the_shell_needs_a_finer_step_and_only_then",)
AT_POSES = ("tests/em/test_classes_at_poses.py",)
BASIS = ("tests/em/test_basis.py",)
ACCURACY = ("tests/em/test_accuracy.py",)
JOB = ("tests/em/test_job.py::test_positions_and_orientations_in_files_approach_the_truth",)
ENGINE = ("tests/em/test_engine.py::test_poses_move_towards_the_truth",)
BOUND = ("tests/em/test_bound.py",)
CONSENSUS = ("tests/em/test_consensus.py",)
PROBABILITIES = ("tests/em/test_laws.py::test_posteriors_are_probabilities_in_every_iteration",)
KEPT = ("tests/em/test_laws.py::test_the_poses_that_make_maps_hold_the_posteriors_but_for_a_thousandth",)
SEVERAL = ("tests/em/test_memory.py::test_poses_found_in_several_passes_are_put_together_best_first",)
UNITS = ("tests/em/test_laws.py::test_grey_scale_and_weights_have_no_unit",)
_BITS = "tests/em/test_laws.py::test_the_number_of_threads_does_not_change_a_bit"
THREADS = (_BITS, f"{_BITS}_without_compiled_loops")
COMMON_TURN = ("tests/em/test_laws.py::test_quarter_turns_of_reference_mask_and_orientations_turn_the_result",)
ROWS = ("tests/em/test_order.py",)
EXTRACTION = ("tests/extract/test_geometry.py", "tests/extract/test_statistics.py")
PROJECTION = ("tests/geometry/test_projection.py",)
AVERAGE = ("tests/reconstruct/test_sums.py",)
PLANES = ("tests/numerics/test_planes.py",)
TILT_AVERAGE = ("tests/reconstruct/test_from_tilts.py::test_the_map_is_the_density_in_its_place_hand_and_scale",)
PADDING = ("tests/numerics/test_fourier.py",)

_EULER = 'Rotation.from_euler("ZYZ", flat, degrees=True)'

MUTATIONS = (
    *(
        Mutation(f"sign of {name} in euler_to_matrix", "geometry/orientations.py", _EULER, _EULER.replace("flat", f"flat * {signs}"), POSES)
        for name, signs in (("rot", "[-1, 1, 1]"), ("tilt", "[1, -1, 1]"), ("psi", "[1, 1, -1]"))
    ),
    Mutation("inverse of the Euler matrix", "geometry/orientations.py", f"{_EULER}.inv()", _EULER, POSES),
    Mutation("inverse when matrices become angles", "geometry/orientations.py", "from_matrix(flat).inv()", "from_matrix(flat)", POSES),
    Mutation(
        "sign of the origin in positions",
        "io/particles.py",
        "self.coordinates(tomograms) - shifts",
        "self.coordinates(tomograms) + shifts",
        PARTICLES,
    ),
    Mutation("order of frame and angles", "io/particles.py", "self.frames @ self.angles", "self.angles @ self.frames", PARTICLES),
    Mutation(
        "sign of the origin read by the engine",
        "em/inputs.py",
        "-particles.origins[order] / pixel_size",
        "particles.origins[order] / pixel_size",
        JOB,
    ),
    Mutation("sign of the origin written by the engine", "em/report.py", "-new.offsets[back]", "new.offsets[back]", JOB),
    Mutation("sign of the input offset's phase", "em/turning.py", "phases(offset_px[None], points", "phases(-offset_px[None], points", JOB),
    Mutation("sign of the shifts searched", "em/basis.py", "(2 * np.pi / n * shifts)", "(-2 * np.pi / n * shifts)", BRUTE_FORCE),
    Mutation("sign of the origin in averages", "reconstruct/sums.py", "xp.exp((-2j * np.pi / n)", "xp.exp((2j * np.pi / n)", AVERAGE),
    Mutation("mirrored voxels of a plane not conjugated", "numerics/planes.py", "xp.float32(-1), xp.float32(1)", "1, 1", PLANES),
    Mutation(
        "planes turned by the inverse pose",
        "reconstruct/from_tilts.py",
        "@ self.orientations[particle]",
        "@ self.orientations[particle].T",
        TILT_AVERAGE,
    ),
    Mutation(
        "bright particles in dark images",
        "reconstruct/from_tilts.py",
        "circle=circle, device",
        "circle=circle, invert=False, device",
        TILT_AVERAGE,
    ),
    Mutation("grey scale without the binning", "reconstruct/gridded.py", "(np.sqrt(n) * binning)", "np.sqrt(n)", TILT_AVERAGE),
    Mutation("particles resampled by the inverse pose", "em/turning.py", "(k @ frame.T)", "(k @ frame)", ENGINE),
    Mutation(
        "references turned by the inverse pose",
        "em/expectation.py",
        "(k[None] @ xp.asarray(rotations, dtype=xp.float32))",
        "(k[None] @ xp.asarray(rotations, dtype=xp.float32).swapaxes(1, 2))",
        BRUTE_FORCE,
    ),
    Mutation(
        "halves labelled by their own classes",
        "em/class_shell.py",
        "((parts[1], own[1]), (parts[0], own[0]))",
        "((parts[0], own[0]), (parts[1], own[1]))",
        CLASS_SHELL,
    ),
    Mutation(
        "own share left in what speaks for classes",
        "em/fixed_poses.py",
        "(numerator - share * part.inside.g[rows])",
        "(numerator - 0 * part.inside.g[rows])",
        CLASS_SHELL,
    ),
    Mutation("a class divided whatever all particles say", "em/subdivision.py", "found[1]) < HOLDS", "found[1]) < -2", SUBDIVISION),
    Mutation(
        "a class to spare however large", "em/subdivision.py", "if counts[spare] >= max(fewest(n), SPARE * n)", "if False", SUBDIVISION
    ),
    Mutation(
        "a class divided by what halves agree about by chance", "em/subdivision.py", "(mean > SURE * error)", "(mean > 0)", SUBDIVISION
    ),
    Mutation("members of the spared class kept", "em/subdivision.py", "start[labels == spare] = 1 / classes", "pass", SUBDIVISION),
    Mutation(
        "large sets: labels of a few are the last word",
        "em/seeding.py",
        "leave_one_out(*every, ROUNDS",
        "leave_one_out(*every, 0",
        LARGE_SETS,
    ),
    Mutation("classes of outliers dissolved", "em/outliers.py", "out &= ~mostly[labels]", "pass", OUTLIERS),
    Mutation("particles that fit best taken for outliers", "em/outliers.py", "values > middle +", "values < middle -", OUTLIERS),
    Mutation("sign of the CTF", "numerics/ctf.py", "return np.sin(", "return -np.sin(", CTF),
    Mutation("sign of the defocus", "numerics/ctf.py", "np.pi * wavelength * (", "-np.pi * wavelength * (", CTF),
    Mutation("sign of the amplitude contrast", "numerics/ctf.py", "+ np.arcsin(amplitude)", "- np.arcsin(amplitude)", CTF),
    Mutation(
        "sign of the CTF in extracted data",
        "extract/statistics.py",
        "(wedge.filter * transfer)",
        "(wedge.filter * abs(transfer))",
        EXTRACTION,
    ),
    Mutation("sign of the tilt in the wedge", "numerics/wedge.py", "np.abs(k @ beam)", "np.abs(k @ (beam * [-1, 1, 1]))", WEDGE),
    Mutation("sign of the tilt in the counts", "numerics/wedge.py", "np.arctan2(-beams @ side", "np.arctan2(beams @ side", WEDGE),
    Mutation("counts of tilts", "numerics/wedge.py", "signal**2 / noise", "noise**2 / noise", WEDGE),
    Mutation("sign of y tilt", "geometry/projection.py", "np.cos(b), np.sin(b)", "np.cos(b), -np.sin(b)", PROJECTION),
    Mutation("hand of the depth", "geometry/projection.py", "* (hand * slope * pixel_size)", "* (-hand * slope * pixel_size)", PROJECTION),
    Mutation("power term of the likelihood", "em/expectation.py", "log = cross - energy", "log = cross", BRUTE_FORCE),
    Mutation(
        "weights in the power term",
        "em/expectation.py",
        "h = xp.asarray(prepared.H[ids, : step.voxels]) *",
        "h = xp.asarray(prepared.H[ids, : step.voxels] * 0 + prepared.H[ids, : step.voxels].mean()) *",
        BRUTE_FORCE,
    ),
    Mutation("factor 2 of the half sphere", "em/expectation.py", "(2 * scale * whitening)", "(scale * whitening)", BRUTE_FORCE),
    Mutation(
        "zyx for xyz in points",
        "geometry/frames.py",
        "np.asarray(coordinates, dtype=np.float64)[..., ::-1]",
        "np.asarray(coordinates, dtype=np.float64)[..., ::1]",
        FRAMES,
    ),
    Mutation("zyx for xyz in matrices", "geometry/frames.py", "[..., ::-1, ::-1]", "[..., ::1, ::1]", FRAMES),
    Mutation("half the tomogram in positions", "geometry/frames.py", "/ self.pixel_size + self.centre_px", "/ self.pixel_size", FRAMES),
    Mutation("padding in scattered sums", "numerics/rotate.py", "xp.float32(self.grid.padding**3)", "xp.float32(1)", PADDING),
    Mutation(
        "envelope of the interpolation",
        "numerics/padded_grid.py",
        "resize_centred(volume / xp.asarray(self.envelope), (",
        "resize_centred(volume, (",
        PADDING,
    ),
    Mutation("fold left out of the references", "em/maximisation.py", "left = 0 if folds == 1 else 1", "left = 0", LEAVE_OUT),
    Mutation(
        "fold left out of the first references", "em/seeding.py", "fold != f if folds > 1 else", "fold >= 0 if folds > 1 else", LEAVE_OUT
    ),
    Mutation(
        "particle left out at fixed poses", "em/start.py", "own = shares[some, c, None]", "own = 0 * shares[some, c, None]", LEAVE_OUT
    ),
    Mutation("particle left out of what is common", "em/start.py", "common.share * in_common[some]", "0 * in_common[some]", LEAVE_OUT),
    Mutation("heat of a start", "em/start.py", "log = to_host(log) / heat", "log = to_host(log)", LEAVE_OUT),
    Mutation("starts begin hot", "em/start.py", "HOT_ROUNDS, inside, threads, heat=HOT", "HOT_ROUNDS, inside, threads", LEAVE_OUT),
    Mutation("starts end cold", "em/start.py", "temperature, loose,", "temperature, start,", LEAVE_OUT),
    Mutation("classes at poses: taken", "em/engine.py", "given=given if given is None or", "given=None if 1 or", AT_POSES),
    Mutation("classes at poses: of a subset", "em/engine.py", "or rows is None else given[rows])", "or True else given)", ON_DEVICE),
    Mutation("classes at poses: of large sets", "em/seeding.py", "% SELDOM == 0", "% SELDOM == 7", ON_DEVICE),
    Mutation("offsets: which differ alike", "em/basis.py", "(x + y + z - least - most)", "(x + y + z - most)", BASIS),
    Mutation("offsets: order of pivots", "em/basis.py", "order[:, None] - 1", "np.arange(len(order))[:, None]", BASIS),
    Mutation("offsets: angles by pieces", "em/basis.py", "angle = turned[some] @ k.T", "angle = turned[: len(parts[some])] @ k.T", BASIS),
    Mutation(
        "offsets of correlations: scale", "em/expectation.py", "energy *= CORRELATED / max", "energy /= CORRELATED / max", BRUTE_FORCE
    ),
    Mutation("offsets: what is not factored", "em/basis.py", ".max(axis=0)) + outside", ".max(axis=0))", BASIS),
    Mutation("accuracies: nearest voxels", "numerics/loops.py", "y = turn[1, 0] * kx +", "y = turn[0, 1] * kx +", ACCURACY),
    Mutation("classes at poses: settled", "em/seeding.py", "(not state.settled or", "(True or", AT_POSES),
    Mutation("classes at poses: settled, now and then", "em/seeding.py", "state.judged >= SELDOM", "state.judged >= 99", AT_POSES),
    Mutation("classes at poses: settled, in the last iteration", "em/seeding.py", " or iteration == o.iterations", "", AT_POSES),
    Mutation("classes at poses: settled, uncertain", "em/seeding.py", "SETTLED and not hot", "SETTLED", AT_POSES),
    Mutation(
        "classes at poses: settled, finer shells",
        "em/engine.py",
        "(state.class_shell > 0 or last_shell == state.last_shell)",
        "1",
        AT_POSES,
    ),
    Mutation("classes at poses: held", "em/seeding.py", "state, state.judgement.astype(np.float64)", "state, None", AT_POSES),
    Mutation("classes at poses: before a job stops", "em/seeding.py", "if o.stop_when_converged and", "if False and", AT_POSES),
    Mutation("classes at poses: when a job stops", "em/convergence.py", "state.judged < state.iteration", "False", AT_POSES),
    Mutation("classes at poses: in the last iteration", "em/seeding.py", " or iteration == options.iterations", "", ON_DEVICE),
    Mutation("where classes begin: shells that do not fit", "em/seeding.py", "if finer else 0.0", "if 0 else 0.0", ON_DEVICE),
    Mutation("where classes begin: memory", "em/seeding.py", "n * voxels(shell) <= VALUES", "True", ON_DEVICE),
    Mutation("classes at poses: sums stay", "em/posteriors.py", "np.log(given / mass)", "np.log(given)", AT_POSES),
    Mutation(
        "classes at poses: the best first",
        "em/posteriors.py",
        "there = there[best_first(particle[there] - some.start, score[there])]",
        "pass",
        AT_POSES,
    ),
    Mutation(
        "poses of several passes: the best first",
        "em/posteriors.py",
        "several[ids] |= filled[ids] > start[ids]",
        "pass",
        SEVERAL,
    ),
    Mutation("classes at poses: without alignment", "em/stored_poses.py", "log if step.given is None else", "log if True else", AT_POSES),
    Mutation("what is common: weights", "em/start.py", "expected, 1e-30) / OUTLIER) ** 2", "expected, 1e-30) / 1e9) ** 2", AT_POSES),
    Mutation("what is common: of the first references", "em/start.py", "rounds: int = 5,", "rounds: int = 0,", AT_POSES),
    Mutation("mask that is found: nothing in noise", "em/solvent.py", "if peak <= certain:", "if False:", SOLVENT),
    Mutation("mask that is found: density of either sign", "em/solvent.py", "else -volume", "else volume", SOLVENT),
    Mutation("mask that is found: what one class has alone", "em/solvent.py", "np.logical_or.reduce", "np.logical_and.reduce", SOLVENT),
    Mutation("mask that is found: on references", "em/constraints.py", "maps *= solvent", "maps *= 1", SOLVENT),
    Mutation("law of the bound: weights of scaled particles", "em/pose_sums.py", "scale**2 * self._factor", "scale * self._factor", BOUND),
    Mutation(
        "law of the bound: noise of optics groups in sums",
        "em/pose_sums.py",
        "(scale * self._factor(ids, some))",
        "(scale)",
        BOUND,
    ),
    Mutation(
        "law of the bound: shifts of summed data",
        "em/pose_sums.py",
        "shifted.turns[xp.asarray(pairs % shifts)]",
        "shifted.turns[xp.asarray(pairs % shifts)].conj()",
        BOUND,
    ),
    Mutation("law of the bound: weight of the consensus", "em/maximisation.py", "num + rho * others, den", "num + others, den", BOUND),
    Mutation("outside programs: units of the data", "em/external.py", "(factor / n**2)", "(factor / n**3)", OUTSIDE),
    Mutation("outside programs: units of the signal", "em/external.py", "/ (2.0 * n**4)", "/ (1.0 * n**4)", OUTSIDE),
    Mutation("outside programs: envelope without alignment", "em/external.py", "padded.envelope**2)", "padded.envelope)", OUTSIDE_FIXED),
    Mutation("law of the bound: T of the references", "em/maximisation.py", "DELTA * regularisation / self", "DELTA / self", BOUND),
    Mutation("consensus: its own T", "em/maximisation.py", "CONSENSUS_T = 4.0", "CONSENSUS_T = 4.4", CONSENSUS),
    Mutation("consensus: variance of differences", "em/maximisation.py", "DELTA = 0.3", "DELTA = 0.33", CONSENSUS),
    Mutation("consensus: drawn to all folds", "em/maximisation.py", "Problem(num + rho * others", "Problem(num + rho * mean", CONSENSUS),
    Mutation(
        "consensus: signal power without weights", "em/maximisation.py", "(denominator * (ratio", "(weight.mean() * (ratio", CONSENSUS
    ),
    Mutation("law of the bound: empty class in the likelihood", "em/posteriors.py", "np.logaddexp(real, log_fractions[-1])", "real", BOUND),
    Mutation(
        "probabilities: the empty class in their sum", "em/posteriors.py", "np.logaddexp(real, log_fractions[-1])", "real", PROBABILITIES
    ),
    Mutation(
        "probabilities: one class by correlation",
        "em/posteriors.py",
        "results.posterior[:] = np.eye(classes + 1)[results.best_class]",
        "pass",
        PROBABILITIES,
    ),
    Mutation("probabilities: poses that hold the posterior", "em/posteriors.py", "before < KEPT *", "before < 0.99 *", KEPT),
    Mutation(
        "units: least noise",
        "em/prepare.py",
        "return np.maximum(power / np.maximum(weight, 1e-30), 1e-30)",
        "return np.maximum(power / np.maximum(weight, 1e-30), 1.0)",
        UNITS,
    ),
    Mutation(
        "units: correlation normalised",
        "em/expectation.py",
        "cross / xp.sqrt(xp.maximum(energy, 1e-20))",
        "cross / xp.maximum(energy, 1e-20)",
        UNITS,
    ),
    Mutation(
        "units: least weight of a map", "em/maximisation.py", "self.spread(FLOOR * mean + 1e-20)", "self.spread(FLOOR * mean + 1e-2)", UNITS
    ),
    Mutation("threads: chunks by their number", "em/back_rotation.py", "-(-number // SCATTER_PARTS) * SCATTER_PARTS", "threads", THREADS),
    Mutation("loops: mates on the wrong side", "numerics/loops.py", "if x < 0:  # the half", "if x < -1e9:  # the half", LOOPS),
    Mutation("loops: imaginary parts of mates", "numerics/loops.py", ".imag * sign * scale", ".imag * scale", EM_LOOPS),
    Mutation("loops: the particle's own share", "numerics/loops.py", "of_x[v] - mine * own_x[v]", "of_x[v] - 0 * own_x[v]", EM_LOOPS),
    Mutation("class sums: pieces", "em/class_sums.py", "slice(times * edges[piece]", "slice(times * edges[piece] + 1", LEAVE_OUT),
    Mutation("loops: shares of a row added up", "numerics/loops.py", "total[r] += s", "total[r] = s", EM_LOOPS),
    Mutation("loops: a pose's share", "numerics/loops.py", "sums[v] += part[v] * s", "sums[v] += part[v]", EM_LOOPS),
    Mutation(
        "loops: parts of other voxels",
        "numerics/loops.py",
        "of_parts[r, 2 * to : 2 * (to + size)]",
        "of_parts[r, to : to + 2 * size]",
        EM_LOOPS,
    ),
    Mutation("loops: shifts of another particle", "numerics/loops.py", "if made[t] != number:", "if made[t] < 0:", EM_LOOPS),
    Mutation("loops: the rim of a folded map", "numerics/loops.py", "if half + z < n else", "if half + z < n - 1 else", FEW_NODES),
    Mutation("even maps: planes counted once", "numerics/few_nodes.py", "np.full(half + 1, 2.0)", "np.full(half + 1, 1.0)", FEW_NODES),
    Mutation("parts of folds: added twice", "em/back_rotation.py", "np.zeros_like(sums[f])", "sums[f].copy()", EM_LOOPS),
    Mutation("folded maps: what has no opposite", "numerics/few_nodes.py", "values[0], -values[0]", "values[0], values[0]", FEW_NODES),
    Mutation("folded maps: differences along both axes", "numerics/few_nodes.py", "turned[z + y], out=", "turned[y], out=", FEW_NODES),
    Mutation("many poses: all of a shift together", "em/pose_sums.py", "> 0) // most", ">= 0) // most", MANY_POSES),
    Mutation("order: equal places in two tomograms", "em/inputs.py", "    keys.insert(0, np.unique(", "    (0, np.unique(", ROWS),
    Mutation("order: groups as they come in the file", "em/inputs.py", "group[source.tomograms[order]]", "source.tomograms[order]", ROWS),
    Mutation(
        "common turn: offsets in the particle's frame",
        "em/engine.py",
        'total = np.einsum("nij,nj->ni"',
        'total = np.einsum("nji,nj->ni"',
        COMMON_TURN,
    ),
    Mutation(
        "common turn: mask of the references",
        "em/maximisation.py",
        "np.where(self.inside, transform, 0)) * self.mask",
        "np.where(self.inside, transform, 0)) * self.mask.T",
        COMMON_TURN,
    ),
    Mutation(
        "common turn: mates on the plane k_x = 0",
        "numerics/padded_grid.py",
        "out[:, :, plane] = sums[:, :, plane] + (",
        "out[:, :, plane] = 2 * sums[:, :, plane] + 0 * (",
        COMMON_TURN,
    ),
    Mutation(
        "common turn: half a plane of the lattice", "em/lattice.py", "((x == 0) & (y > 0))", "((x == 0) & (y >= 0) & (z > 0))", COMMON_TURN
    ),
    Mutation("many particles at once: transposed frames", "em/turning.py", "frames.transpose(0, 2, 1)", "frames", TURNING),
    Mutation("many particles at once: one grid for all", "numerics/rotate.py", "// (len(points) // copies)", "// len(points)", TURNING),
    Mutation("many particles at once: the mask stays in the middle", "em/turning.py", "_about(mask, offset) for", "mask for", TURNING),
    Mutation(
        "particles that were waiting are turned again",
        "em/turning.py",
        "waiting, done = waiting[size:], rows.stop",
        "done = rows.stop",
        TURNING,
    ),
    Mutation("peaks: turns the other way about", "em/peaks.py", "matrices[some].transpose(0, 2, 1)", "matrices[some]", PEAKS),
    Mutation("peaks: the other way", "em/peaks.py", "slope = c[:, 1:4] +", "slope = -c[:, 1:4] +", PEAKS),
    Mutation(
        "peaks: what is not known is likely", "em/peaks.py", "np.log(sums + np.exp(-least))", "np.log(sums + np.exp(-0.1 * least))", PEAKS
    ),
    Mutation("steps coarser than the shells need", "em/poses.py", "math.ceil(RUNGS", "math.floor(RUNGS", STEPS),
    Mutation("grid not turned back to the poses", "em/poses.py", "ASIDE.T @ self.rotations", "ASIDE @ self.rotations", BESIDE),
    Mutation("search on the nodes of the grid", "em/poses.py", "[0.5, -0.35, 0.7]", "[0.0, 0.0, 0.0]", BESIDE),
    Mutation("particles stay where they were first found", "em/frames.py", "if finer > state.frame_step", "if finer > 0", TURNED_AGAIN),
    Mutation("what a GPU has no room for is left out", "em/turning.py", "range(first, len(frames))", "range(first, first)", TURNING),
)
