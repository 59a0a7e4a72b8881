"""References made by an outside program from numerators and denominators, in RELION's format (`io.external_reconstruct`).

The program takes the place of the last division alone: it is given what our own references are made of, so that one that divides and
does nothing else gives the same references. With the common average that is, for each fold, the sums without the fold, and of several
classes the average as data of weight ρ in them (T = 1000: hardly anything is left to be regularised); a class towards zero
(`shrink_to` own) is its own sums of all particles with T, once for all folds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.maximisation import Maximiser, Problem
from napari_subtomo.em.program import found_program, run_program, words_of
from napari_subtomo.em.statistics import Sums
from napari_subtomo.errors import FileFormatError, FileMissingError, JobCancelled, JobError
from napari_subtomo.io.external_reconstruct import ExternalFiles, Request
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.project import JobFolder
from napari_subtomo.numerics.few_nodes import wrapped_frequencies
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]

BLUSH = "relion_python_blush"
LEAST_DONE = 1000.0  # T where the denominator holds the regularisation already
PADDING = 2
SMEAR = 2  # shells beyond the last one that an envelope needs
QUIET_SHELL = 1e-12  # least noise of a shell, in units of the largest: weights must fit float32


@dataclass(frozen=True)
class External:
    """The outside program of a job.

    Attributes
    ----------
    words : tuple of str
        Program and arguments; the name of the STAR file follows.
    folder : JobFolder
        Where files lie while the program runs; it runs in the project's folder.
    diameter : float
        Of the mask, Å.
    keep : bool
        Whether the mean of the maps over the folds stays in the folder.
    """

    words: tuple[str, ...]
    folder: JobFolder
    diameter: float
    keep: bool = True

    @property
    def command(self) -> str:
        """As on a command line."""
        return shlex.join(self.words)

    def reconstruct(self, files: ExternalFiles, request: Request, reporter: Reporter) -> npt.NDArray[np.float32]:
        """The program's map, shape (box, box, box); its files are gone unless it failed.

        Raises
        ------
        JobCancelled
            A stop was asked for.
        JobError
            It cannot be run, failed, or made no usable map: one sentence with what was run and where its log is.
        """
        words = (*self.words, files.name(".star"))
        files.write(request)
        try:
            status = run_program(words, self.folder.project.root, files.path(".out"), reporter)
        except JobCancelled:
            files.clear()
            raise
        files.keep_log(f"+ {shlex.join(words)}")
        where = f"its words are at the end of {self.folder.name('run.out')}, its files are {files.name('*')}"
        if status != 0:
            raise JobError(
                f"Expected the program of the external reconstruction to end well, found exit status {status} of {shlex.join(words)} "
                f"({files.last_words()}); {where}."
            )
        try:
            volume = files.result(request.box)
        except (FileFormatError, FileMissingError) as error:
            raise JobError(f"{error} It is what {shlex.join(words)} was to write; {where}.") from error
        files.clear()
        return volume


def external_of(options: ClassifyOptions, folder: JobFolder) -> External | None:
    """The outside program that the options ask for, which must be there.

    Raises
    ------
    FileMissingError
        It is not.
    """
    root = folder.project.root
    if options.blush:
        gpus = ",".join(re.findall(r"cuda:(\d+)", options.device))
        missing = (
            f"Expected RELION 5's program {BLUSH} on the path for --blush, found none; install RELION 5 with Blush and add its folder of "
            "programs to PATH, or name another program with --external-reconstruct."
        )
        words = found_program((BLUSH, "--gpu", gpus) if gpus else (BLUSH,), root, missing)
    elif options.external_reconstruct.strip():
        given = words_of(options.external_reconstruct)
        missing = (
            f"Expected the program {given[0]} of --external-reconstruct on the path or in {root}, found none; install it or give its whole "
            "path."
        )
        words = found_program(given, root, missing)
    else:
        return None
    return External(words, folder, options.mask_diameter)


def references_of(setup: Setup, maximiser: Maximiser, sums: Sums, noise: FloatArray, iteration: int, reporter: Reporter) -> Maps:
    """References of the next E-step: ours, or those of the job's outside program; parameters as in `Maximiser.references`."""
    o = setup.options
    if setup.external is None:
        return maximiser.references(sums, noise, o.regularisation, o.shrink_to, o.threads)
    return external_references(setup.external, maximiser, sums, noise, o, setup.pixel_size, iteration, reporter)


def external_references(
    external: External,
    maximiser: Maximiser,
    sums: Sums,
    noise: FloatArray,
    options: ClassifyOptions,
    pixel_size: float,
    iteration: int,
    reporter: Reporter,
) -> Maps:
    """References of the next E-step by an outside program, one map after the other; parameters as in `Maximiser.references`.

    Raises
    ------
    JobCancelled, JobError
        As in `External.reconstruct`.
    """
    folds, classes = sums.numerator.shape[:2]
    n, own = maximiser.grid.n, options.shrink_to == "own"
    maps = np.zeros((folds, classes, n, n, n), np.float32)
    reporter.stage("External reconstruction", classes * (1 if own else folds), "maps")
    for f, c, problem in _problems(maximiser, sums, noise, options):
        if np.any(problem.denominator > 0):  # else an empty class, which stays zero
            request = requested(maximiser, problem, noise, pixel_size, external.diameter)
            files = ExternalFiles(external.folder, iteration, c + 1)
            maps[slice(None) if f is None else f, c] = external.reconstruct(files, request, reporter) * maximiser.mask
        reporter.advance()
    if external.keep:
        for c in range(classes):
            path = ExternalFiles(external.folder, iteration, c + 1).path(".mrc")
            write_mrc(path, maps[:, c].mean(0, dtype=np.float64), pixel_size)
    return maps


def _problems(maximiser: Maximiser, sums: Sums, noise: FloatArray, options: ClassifyOptions) -> Iterator[tuple[int | None, int, Problem]]:
    """Fold (None: all of them), class, and what its reference is made of."""
    folds, classes = sums.numerator.shape[:2]
    if options.shrink_to == "own":
        for c in range(classes):
            yield None, c, Problem(sums.numerator[:, c].sum(0), sums.denominator[:, c].sum(0), options.regularisation)
        return
    of_fold = maximiser.left_out(sums, noise, options.regularisation)
    for f in range(folds):
        for c, problem in enumerate(of_fold(f)):
            yield f, c, problem


def requested(maximiser: Maximiser, problem: Problem, noise: FloatArray, pixel_size: float, diameter: float) -> Request:
    """What a program is given, in RELION's units.

    RELION's transforms are divided by n² (images of n x n pixels), its noise σ² and signal power τ² are those of the real part alone, and
    its sums are weighted by 1/σ² and not multiplied by padding³:

        weight = 2 n⁴ DEN / (p³ σ²),    data = 2 n² NUM / (p³ σ²),    τ² = |A|² / (2 n⁴)

    Parameters
    ----------
    maximiser : Maximiser
    problem : Problem
    noise : ndarray, shape (S,)
        σ² per unit weight.
    pixel_size, diameter : float
        Å.
    """
    grid, n = maximiser.grid, maximiser.grid.n
    numerator, denominator = np.where(maximiser.inside, problem.numerator, 0), np.where(maximiser.inside, problem.denominator, 0)
    power = maximiser.signal_power(numerator, denominator)
    if grid.exact:
        data, weight = between_nodes(maximiser, numerator, denominator)
    else:
        data, weight = whole_layout(grid, numerator), whole_layout(grid, denominator)
    padded = PaddedGrid(n, PADDING)
    sigma2 = np.maximum(noise, QUIET_SHELL * noise.max())
    factor = 2.0 * n**4 / (PADDING**3 * sigma2)[np.minimum(padded.shell, len(sigma2) - 1)]
    # programs leave out the nodes at this radius and beyond, and our shells are rounded
    radius = min(maximiser.last_shell + 1 + (SMEAR if grid.exact else 0), n // 2)
    tau2 = np.zeros(n // 2 + 1)
    tau2[: radius + 1] = power[np.minimum(np.arange(radius + 1), maximiser.last_shell)] / (2.0 * n**4)
    return Request(
        (data * (factor / n**2)).astype(np.complex64),
        (weight * factor).astype(np.float32),
        tau2,
        LEAST_DONE if problem.regularisation is None else problem.regularisation,
        PADDING,
        n,
        2 * radius,
        pixel_size,
        diameter,
    )


def whole_layout(grid: PaddedGrid, values: Any) -> Any:
    """Node values of a limited grid among those of the whole padded box, zero elsewhere."""
    if grid.edge == grid.size:
        return values
    out = np.zeros((grid.size, grid.size, grid.size // 2 + 1), values.dtype)
    wrapped = wrapped_frequencies(grid.edge) % grid.size
    out[np.ix_(wrapped, wrapped, np.arange(grid.edge // 2 + 1))] = values
    return out


def between_nodes(maximiser: Maximiser, numerator: Any, denominator: Any) -> tuple[Any, Any]:
    """Sums on a padded grid that stand for those on an exact one, which programs would divide by an envelope that it does not have.

    The map of the ratio gets the envelope and is transformed on the padded grid, where weights are means of their neighbours.

    Parameters
    ----------
    maximiser : Maximiser
        With an exact grid.
    numerator, denominator : array, shape of the grid
    """
    padded = PaddedGrid(maximiser.grid.n, PADDING)
    weight = whole_layout(maximiser.grid, denominator)
    for axis in (0, 1):
        weight = np.stack([weight, (weight + np.roll(weight, -1, axis)) / 2], axis + 1).reshape(
            *(2 * s if a == axis else s for a, s in enumerate(weight.shape))
        )
    finer = np.zeros(padded.shape, np.float32)
    finer[..., ::2], finer[..., 1::2] = weight, (weight[..., 1:] + weight[..., :-1]) / 2
    last = maximiser.last_shell
    beyond = (padded.shell > last) & (padded.shell <= last + SMEAR)  # the envelope moves what is in the last shell there
    finer[padded.shell > last] = 0
    finer[beyond] = maximiser.shell_mean(denominator)[last]
    estimate = maximiser.grid.to_map(numerator / maximiser.floored(denominator))
    return padded.transform(estimate * padded.envelope**2) * finer, finer
