"""Where classes begin: clustering at fixed poses, each particle left out of the references it is compared with."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.class_sums import class_sums
from napari_subtomo.em.inside import Inside, Mask, portions
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.maximisation import CONSENSUS_T, DELTA
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import loops, namespace, to_host
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
OUTLIER = 0.5  # power of a class's difference from what is common, in units of what is expected, that halves its weight there
LEAST_SHARE = 0.02  # of the particles: a class with fewer has died
HOT, HOT_ROUNDS = 2.0, 20  # a start begins at so many times the temperature, for so many rounds
ROUNDS = 60  # most rounds at the temperature of the data
MOST_RHO = 1e6  # what draws classes together, in units of the data's weight: more changes nothing but overflows where hardly any data are
LEAST_WEIGHT = 1e-3  # of a voxel in units of its shell's mean, where a spectrum is made
ROUNDING = 1e-6  # of what a class holds: less is not left of it without a particle, but rounding


def shell_mean(values: Any, lattice: Lattice) -> Any:
    """Mean of its shell at each of the first V voxels; `values` of shape (V,)."""
    xp = namespace(values)
    shell = xp.asarray(lattice.shell[: len(values)])
    return (xp.bincount(shell, values) / xp.maximum(xp.bincount(shell), 1))[shell]


def shell_power(values: Any, lattice: Lattice) -> Any:
    """Mean |value|² of its shell at each of the first V voxels; `values` of shape (V,)."""
    return shell_mean(abs(values) ** 2, lattice)


def rand_index(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Adjusted Rand index of two labelings (Hubert & Arabie 1985); 1 when both are one class."""
    a, b = np.unique(np.asarray(a), return_inverse=True)[1], np.unique(np.asarray(b), return_inverse=True)[1]
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)

    def pairs(x: FloatArray) -> float:
        return float((x * (x - 1) / 2).sum())

    both, rows, columns, total = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), len(a) * (len(a) - 1) / 2
    expected, most = rows * columns / max(total, 1), (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


@dataclass(frozen=True)
class Common:
    """What classes have in common, and what their differences from it are expected to be; arrays on the device of the particles.

    Attributes
    ----------
    mean : array, shape (V,), complex64
        Ā, regularised.
    expected : array, shape (V,), float64
        Power of a difference, δT|Ā|².
    rho : array, shape (V,), float32
        σ² over it, at most `MOST_RHO` times the largest weight.
    share : array, shape (V,), float32
        ρ over what Ā was divided by: what a datum adds to ρĀ.
    """

    mean: Any
    expected: Any
    rho: Any
    share: Any

    @classmethod
    def of(cls, sums: list[tuple[Any, Any]], weights: FloatArray, sigma2: Any, lattice: Lattice, regularisation: float) -> Common:
        """Of all classes.

        Parameters
        ----------
        sums : list of (array, array), each of shape (V,)
            Data and weights of each class.
        weights : ndarray, shape (classes,)
            Of the classes in the average.
        sigma2 : array, shape (V,)
            σ² per unit weight.
        lattice : Lattice
        regularisation : float
            T.
        """
        total = [sum(each[i] * weight for weight, each in zip(weights, sums, strict=True)) for i in (0, 1)]
        xp = namespace(total[1])
        # what hardly any particle saw would have any power
        raw = total[0] / xp.maximum(total[1], LEAST_WEIGHT * shell_mean(total[1], lattice) + 1e-9)
        strength = total[1] + sigma2 / (CONSENSUS_T * xp.maximum(shell_power(raw, lattice), 1e-30))
        mean = total[0] / strength
        expected = DELTA * regularisation * xp.maximum(shell_power(mean, lattice), 1e-30)
        rho = xp.minimum(sigma2 / expected, MOST_RHO * max(float(total[1].max()), 1e-9))
        return cls(mean.astype(np.complex64), expected, rho.astype(np.float32), (rho / strength).astype(np.float32))

    def weights(self, apart: list[Any], precision: Any) -> FloatArray:
        """Of the classes in what they have in common, by their differences from it: little of what is a different thing altogether.

        With gold beads among the particles, what is common would else be partly bead, and differences between other classes be drawn
        towards it by more than they amount to. The weight falls as that of a heavy-tailed prior does, 1/(1 + (d/s)²), where d is the
        power of the difference in units of the power expected.

        Parameters
        ----------
        apart : list of array, shape (V,)
        precision : array, shape (V,)
            Of a particle, H/σ² up to a factor.

        Returns
        -------
        ndarray, shape (classes,)
            At most 1.
        """
        expected = float((precision * self.expected).sum())
        power = np.array([float((precision * (each.real**2 + each.imag**2)).sum()) for each in apart])
        weights: FloatArray = 1 / (1 + (power / max(expected, 1e-30) / OUTLIER) ** 2)
        weights /= max(weights.max(), 1e-30)
        return weights

    @classmethod
    def settled(
        cls,
        sums: list[tuple[Any, Any]],
        sigma2: Any,
        precision: Any,
        lattice: Lattice,
        regularisation: float,
        differences: Mask,
        rounds: int = 5,
    ) -> Common:
        """With the weights that classes have by their differences, masked by `differences`; other arguments as above."""
        weights = np.ones(len(sums))
        common = cls.of(sums, weights, sigma2, lattice, regularisation)
        for _ in range(rounds):
            apart = [(num + common.rho * common.mean) / (den + common.rho) - common.mean for num, den in sums]
            weights = common.weights([differences(each.astype(np.complex64)) for each in apart], precision)
            common = cls.of(sums, weights, sigma2, lattice, regularisation)
        return common


def leave_one_out(
    g: Any,
    h: Any,
    lattice: Lattice,
    noise: Any,
    temperature: float,
    start: FloatArray,
    regularisation: float,
    rounds: int = ROUNDS,
    inside: Inside | None = None,
    threads: int = 1,
    heat: float = 1.0,
) -> FloatArray:
    """Class posteriors at fixed poses by EM; a particle's own share is taken out of every class it is compared with.

    `A_c without p = (NUM_c − γ_pc·G_p + ρĀ_p) / (DEN_c − γ_pc·H_p + ρ)` (engine notes, section 7.1), with Ā of all classes by their weights
    w_c in what they have in common (`Common`). From Ā the share is taken out to first order: `Ā_p = Ā − Σ_c w_c γ_pc (G_p − H_p Ā)/S`
    with what Ā was divided by, S; power spectra, and so ρ, are those of all particles. Inside a region the differences from the average
    are masked: NUM_c + ρĀ becomes `(DEN_c + ρ)·(Ā' + M[A_c − Ā])`, and the own share that of a particle whose difference from
    the average is masked, `G'_p = H_p A + M[G_p − H_p A]` with their plain average A; it is compared as it is.

    Parameters
    ----------
    g, h : array, shape (n, V), complex64 and float32
        Aligned data and weights on the first V lattice voxels, of numpy or on the current GPU.
    lattice : Lattice
    noise : array, shape (n, V)
        σ² at those voxels for each particle.
    temperature : float
        κ.
    start : ndarray, shape (n, classes)
        Posteriors to begin with.
    regularisation : float
        T.
    rounds : int
        Most EM rounds.
    inside : Inside, optional
        The region in which classes may differ.
    threads : int
        The result is the same with any number of them; 1 on a GPU.
    heat : float
        Log-likelihoods are divided by it once more; fractions of classes count in full.

    Returns
    -------
    ndarray, shape (n, classes)
    """
    xp = namespace(g)
    compiled = loops() if xp is np else None
    n, classes = start.shape
    blocks = portions(g)
    whitening = xp.empty(g.shape, np.float32)
    for some in blocks:
        whitening[some] = 1.0 / (noise[some] * temperature)
    whitening[:, : lattice.prefix(0)] = 0
    precision, sigma2 = whitening.mean(0, dtype=np.float64).astype(np.float32) * h.mean(0), noise.mean(0, dtype=np.float64)
    own_g = g if inside is None else inside.g
    weights = np.ones(classes)
    gamma = start.astype(np.float32)
    for _ in range(rounds):
        log, shares = xp.empty((n, classes)), xp.asarray(gamma)
        sums = class_sums(g, h, shares, threads)
        common = Common.of(sums, weights, sigma2, lattice, regularisation)
        sums = [(num + common.rho * common.mean, den + common.rho) for num, den in sums]
        apart = [num / xp.maximum(den, 1e-20) - common.mean for num, den in sums]
        if inside is not None:
            average, *apart = ordered_map(_masked, [(inside.whole, common.mean), *((inside.differences, each) for each in apart)], threads)
            sums = [((average + each) * den, den) for each, (_, den) in zip(apart, sums, strict=True)]
        in_common = xp.asarray((gamma @ weights.astype(np.float32))[:, None])
        weights = common.weights(apart, precision)
        # ρ is what the sums hold without any particle; rounding may leave less of a class of one
        terms: Any = [(num, den, xp.maximum(xp.maximum(common.rho, 1e-20), ROUNDING * den)) for num, den in sums]
        if compiled is not None:
            terms = [np.stack(values) for values in zip(*terms, strict=True)]

        def compare(
            some: slice, terms: Any = terms, common: Any = common, in_common: Any = in_common, shares: Any = shares, log: Any = log
        ) -> None:
            if compiled is not None:
                some_shares = shares[some], in_common[some, 0]
                given = g[some], own_g[some], h[some], whitening[some], *some_shares, common.mean, common.share
                compiled.left_out(*given, *terms, log[some])
                return
            # contiguous copies, and few arrays that are written again and again: they stay in the cache
            x, y, w, whiten = g[some].real.copy(), g[some].imag.copy(), h[some], whitening[some]
            own_x, own_y = (x, y) if inside is None else (own_g[some].real.copy(), own_g[some].imag.copy())
            # the share in ρĀ: a small class is made of ρĀ more than a large one, and would be favoured
            shared = common.share * in_common[some]
            shared_x, shared_y = shared * (own_x - w * common.mean.real), shared * (own_y - w * common.mean.imag)
            without_x, without_y, inverse, values, power = (xp.empty_like(w) for _ in range(5))
            for c, (numerator, denominator, least) in enumerate(terms):
                own = shares[some, c, None]
                # with N, D the sums without the particle: Σ 2 Re[G N*]/D − H |N|²/D²
                for part, mine, shared_part, without in (
                    (numerator.real, own_x, shared_x, without_x),
                    (numerator.imag, own_y, shared_y, without_y),
                ):
                    xp.multiply(own, mine, out=without)
                    xp.subtract(part, without, out=without)
                    without -= shared_part
                xp.multiply(own, w, out=inverse)
                xp.maximum(xp.subtract(denominator, inverse, out=inverse), least, out=inverse)
                xp.divide(1, inverse, out=inverse)
                xp.multiply(x, without_x, out=values)
                values += xp.multiply(y, without_y, out=power)
                values *= 2
                without_x *= without_x
                without_x += xp.multiply(without_y, without_y, out=without_y)
                values -= xp.multiply(xp.multiply(w, inverse, out=power), without_x, out=power)
                values *= inverse
                values *= whiten
                log[some, c] = values.sum(1)  # summed by pairs, which loses few digits

        deque(ordered_map(compare, blocks, threads), maxlen=0)
        log = to_host(log) / heat + np.log(gamma.mean(0, dtype=np.float64) + 1e-9)
        new = np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
        change = np.abs(new - gamma).max()
        gamma = new.astype(np.float32)
        if change < 1e-4:
            break
    result: FloatArray = gamma.astype(np.float64)
    return result


def _masked(each: tuple[Mask, Any]) -> Any:
    """Values on the voxels of the comparison with their mask on, of the same shape."""
    mask, values = each
    return mask(values)


def annealed(
    g: Any,
    h: Any,
    lattice: Lattice,
    noise: Any,
    temperature: float,
    start: FloatArray,
    regularisation: float,
    rounds: int,
    inside: Inside | None,
    threads: int,
) -> FloatArray:
    """`leave_one_out` that begins hot, which is deterministic annealing (Rose 1998) in one step.

    At the temperature of the data, random halves of one species are certain of themselves and stay as they are. Arguments and result are
    those of `leave_one_out`; `rounds` are those at the temperature of the data.
    """
    loose = leave_one_out(g, h, lattice, noise, temperature, start, regularisation, HOT_ROUNDS, inside, threads, heat=HOT)
    return leave_one_out(g, h, lattice, noise, temperature, loose, regularisation, rounds, inside, threads)


def fewest(n: int) -> float:
    """Least number of members, of n particles in all, that a class has that has not died."""
    return max(2.0, LEAST_SHARE * n)


def alive(gamma: FloatArray) -> int:
    """Number of classes that have not died, of particles with posteriors `gamma`."""
    return living(gamma.argmax(1), gamma.shape[1])


def living(labels: npt.NDArray[np.int64], classes: int) -> int:
    """Number of classes that have not died, of labels 0 … classes − 1, shape (n,)."""
    return int(np.count_nonzero(np.bincount(labels, minlength=classes) >= fewest(len(labels))))


def _without_dead(gamma: FloatArray, rng: np.random.Generator) -> FloatArray | None:
    """A partition whose largest class shares its particles at random with those that have died; None where all live.

    A class dies where another one, such as beads, has set itself apart first: what is left can be told apart only then.
    """
    labels, classes = gamma.argmax(1), gamma.shape[1]
    counts = np.bincount(labels, minlength=classes)
    dead, largest = np.flatnonzero(counts < fewest(len(gamma))), int(counts.argmax())
    if not len(dead):
        return None
    labels[labels == largest] = rng.permutation(np.resize(np.append(dead, largest), counts[largest]))
    halved: FloatArray = np.eye(classes)[labels]
    return halved


def cluster(
    g: Any,
    h: Any,
    lattice: Lattice,
    noise: Any,
    temperature: float,
    classes: int,
    regularisation: float,
    restarts: int,
    seed: int,
    threads: int,
    reporter: Reporter,
    inside: Inside | None = None,
) -> tuple[FloatArray, float]:
    """Leave-one-out clustering from several random starts; the partition that agrees most with the others is taken.

    Likelihood does not choose: in 3 of 7 runs of the study the likeliest start was wrong while most others were right. Partitions
    in which classes have died, with less than 2 % of the particles, are taken only if there is no other.

    Returns
    -------
    posteriors : ndarray, shape (n, classes)
        Classes in order of size, largest first.
    agreement : float
        Mean adjusted Rand index between the chosen partition and those of the other starts (1 with a single start).
    """
    n = len(g)
    each = max(1, threads // restarts)
    reporter.stage("Leave-one-out clustering", restarts, "starts")

    def settled(start: FloatArray) -> FloatArray:
        return annealed(g, h, lattice, noise, temperature, start, regularisation, ROUNDS, inside, each)

    def of_start(restart: int) -> FloatArray:
        rng = np.random.default_rng([seed, 5, restart])
        result = settled(np.eye(classes)[rng.permutation(np.arange(n) % classes)])
        for _ in range(classes):
            if (halved := _without_dead(result, rng)) is None:
                break
            again = settled(halved)
            if alive(again) <= alive(result):
                break
            result = again
        reporter.advance()
        return result

    found = list(ordered_map(of_start, range(restarts), threads))
    labels = [f.argmax(1) for f in found]
    agreement = np.ones(restarts)
    if restarts > 1:
        table = np.array([[rand_index(a, b) for b in labels] for a in labels])
        agreement = (table.sum(1) - 1) / (restarts - 1)
    good = np.array([alive(f) for f in found])  # as many classes as are to be had
    order = np.lexsort((-np.arange(restarts), agreement, good))
    chosen = found[order[-1]]
    by_size = np.argsort(-chosen.sum(0), kind="stable")
    return chosen[:, by_size], float(agreement[order[-1]])
