"""Our classes of the very particles that RELION 5.0.1 classified, beside RELION's own and the truth.

    python benchmarks/golden.py ../shared/golden/relion5                # tables on the terminal, figures into benchmarks/golden.json
    python benchmarks/golden.py ../shared/golden/relion5 --seeds 1 --out ""

The folder holds 24 simulated particles of two averages from cells, extracted by RELION as 3D pseudo-subtomograms and as 2D stacks, and two
Class3D jobs on them. Here `classify` does both with RELION's parameters, taken from its own files, once with our defaults and once with
`--preset relion`, and once more with each of further seeds. What is compared and what came out: docs/compared-with-relion5.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from chain import fingerprint, measure
from judge import common_turn
from scipy.stats import spearmanr

from napari_subtomo.em.start import rand_index
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import mrc_header, read_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.numerics.fsc import fsc
from napari_subtomo.numerics.masks import soft_sphere

SOURCES = ("3d", "2d")
WAYS = ("default", "relion")
MAPS = {1: "map_hsp60.mrc", 2: "map_atpase.mrc"}  # of the truth, by its class numbers
#: columns of the truth, and what RELION's command says besides its STAR files
TRUE_CLASS, MASK_EDGE_PX = "trueClass", 5.0


def relion_words(root: Path, source: str) -> list[str]:
    """RELION's parameters as options of `classify`, read from the files of its last iteration.

    One step of oversampling halves RELION's steps; a local search of sigma degrees reaches three times as far. Its command has no
    `--firstiter_cc`, so the reference is on the absolute grey scale.
    """
    folder = root / f"Class3D_{source}"
    optimiser, sampling, model = (read_star(folder / f"run_it004_{name}.star").blocks[0] for name in ("optimiser", "sampling", "model"))
    fine = 2 ** int(optimiser.text("rlnAdaptiveOversampleOrder"))
    pixel = float(model.text("rlnPixelSize"))
    given = {
        "classes": int(model.text("rlnNrClasses")),
        "iterations": int(optimiser.text("rlnNumberOfIterations")),
        "regularisation": float(model.text("rlnTau2FudgeFactor")),
        "mask-diameter": float(optimiser.text("rlnParticleDiameter")),
        "symmetry": sampling.text("rlnSymmetryGroup"),
        "angular-step": float(sampling.text("rlnPsiStep")) / fine,
        "local-range": 3 * float(model.text("rlnSigmaPriorRotAngle")),
        "offset-range": float(sampling.text("rlnOffsetRange")) / pixel,
        "offset-step": float(sampling.text("rlnOffsetStep")) / fine / pixel,
    }
    command = optimiser_command(folder)
    given["initial-lowpass"] = float(command[command.index("--ini_high") + 1])
    return [word for name, value in given.items() for word in (f"--{name}", f"{value:g}" if isinstance(value, float) else str(value))]


def optimiser_command(folder: Path) -> list[str]:
    """The words of RELION's command, from the second line of its optimiser file."""
    return (folder / "run_it004_optimiser.star").read_text().splitlines()[1].split()


def classified(root: Path, source: str, way: str, seed: int, work: Path, code: str, *more: str) -> tuple[Path, float]:
    """Classify; the folder, and seconds of all processors."""
    out = work / "-".join([source, way, str(seed), *more]).replace("--", "")
    files = ["--optimisation-set", f"Extract{source}/optimisation_set.star", "--reference", f"{root}/Reconstruct/merged.mrc"]
    words = ["classify", "--project", str(root), *files, *relion_words(root, source), "--absolute-greyscale"]
    words += ["--preset", way, "--seed", str(seed), "--threads", "2", "--device", "cpu", *more]
    command = " ".join(["napari-subtomo", *words]).replace(str(root), "GOLDEN")
    print(f"  {command}", flush=True)
    log = work / f"{out.name}.log"
    return out, measure(command, [*words, "-o", str(out), "--overwrite"], root, log, code).cpu_seconds


def truth_of(root: Path) -> tuple[ParticleSet, np.ndarray]:
    """True poses, and classes as numbers of `MAPS`."""
    return read_particles(root / "truth.star"), read_star(root / "truth.star")[r.PARTICLES].ints(TRUE_CLASS)


def pose_errors(found: ParticleSet, truth: ParticleSet, species: np.ndarray) -> dict[str, float]:
    """Medians and largest errors, ° and Å, in the tomogram; degrees also about the turn that all particles of a species share.

    Nothing holds the frame of a class's map: a turn of all its particles and of the map together is no error of either.
    """
    away = np.linalg.norm(found.positions() - truth.positions(), axis=1)
    turned = truth.orientations.copy()
    for t in MAPS:
        members = species == t
        turned[members] = turned[members] @ common_turn(turned[members], found.orientations[members])
    errors = {
        "degrees": angular_distance(found.orientations, truth.orientations),
        "own_degrees": angular_distance(found.orientations, turned),
        "angstrom": away,
    }
    kinds = (("median", np.median), ("largest", np.max))
    return {f"{name}_{which}": round(float(of(e)), 2) for name, e in errors.items() for which, of in kinds}


def matched(labels: np.ndarray, truth: np.ndarray, classes: int = 2) -> dict[int, int]:
    """Class of the truth for each class found: the assignment that most particles agree with."""
    best = max(
        permutations(range(1, classes + 1)), key=lambda p: sum(int(np.sum((labels == c + 1) & (truth == t))) for c, t in enumerate(p))
    )
    return dict(enumerate(best, start=1))


def noise_spectrum(model: Path) -> np.ndarray:
    """Noise power of the first optics group, by shell."""
    return read_star(model)[r.MODEL_OPTICS_GROUP.format(1)].floats(r.SIGMA2_NOISE)


def mean_weights(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean Σ CTF² by shell, and the same over the mean number of tilt images.

    What our noise per unit weight has to be multiplied by: RELION's first spectrum is the power of the stored transforms, its later ones
    are residual powers divided by the number of tilt images that reach a voxel.
    """
    source = open_subtomograms(read_particles(root / "Extract3d/particles.star"), Project(root), None)
    n = source.box
    line = np.fft.fftfreq(n) * n
    z, y, x = np.meshgrid(line, line, np.arange(n // 2 + 1), indexing="ij")
    shell = np.rint(np.sqrt(x**2 + y**2 + z**2)).astype(int).ravel()
    weight = images = np.zeros(n // 2 + 1)
    for particle in map(source.read, range(source.n)):
        weight = weight + np.bincount(shell, particle.weights.ravel())[: n // 2 + 1]
        images = images + np.bincount(shell, particle.multiplicity.ravel())[: n // 2 + 1]
    return weight / np.maximum(np.bincount(shell)[: n // 2 + 1] * source.n, 1), weight / images


def figures(root: Path, source: str, folder: Path, weights: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """All figures of one run (RELION's own too), by the truth and beside RELION's."""
    truth, species = truth_of(root)
    theirs, relion = root / f"Class3D_{source}", read_particles(root / f"Class3D_{source}/run_it004_data.star")
    data = read_particles(folder / "run_it004_data.star")
    model = read_star(folder / "run_it004_model.star")
    likelihood, other = (p.floats(r.LOG_LIKELI_CONTRIBUTION) for p in (data, relion))
    shares = model[r.MODEL_CLASSES].floats(r.CLASS_DISTRIBUTION)
    noise = {}
    if folder != theirs and source == "3d":
        for when, iteration, weight in zip(("start", "end"), (0, 4), weights, strict=True):
            both = (noise_spectrum(place / f"run_it{iteration:03d}_model.star")[1:-1] for place in (folder, theirs))
            noise[when] = [round(float(v), 3) for v in next(both) * weight[1:-1] / next(both)]
    pixel = mrc_header(root / MAPS[1]).voxel_size
    n = read_mrc(root / MAPS[1]).shape[0]
    mask = soft_sphere(
        n, read_star(theirs / "run_it004_optimiser.star").blocks[0].floats("rlnParticleDiameter")[0] / 2 / pixel, MASK_EDGE_PX
    )
    now, back = matched(data.class_numbers, species), {t: c for c, t in matched(relion.class_numbers, species).items()}
    maps = {}
    for c, t in now.items():
        volume = read_mrc(folder / f"run_it004_class{c:03d}.mrc")
        maps[MAPS[t][4:-4]] = {
            "truth": [round(float(v), 2) for v in fsc(volume, read_mrc(root / MAPS[t]), mask)],
            "relion": [round(float(v), 2) for v in fsc(volume, read_mrc(theirs / f"run_it004_class{back[t]:03d}.mrc"), mask)],
        }
    return {
        "index_truth": round(rand_index(data.class_numbers, species), 3),
        "index_relion": round(rand_index(data.class_numbers, relion.class_numbers), 3),
        "poses": pose_errors(data, truth, species),
        "pmax": round(float(data.floats(r.MAX_VALUE_PROB_DISTRIBUTION).mean()), 3),
        "shares": [round(float(s), 3) for s in shares],
        "likelihood_order": round(float(spearmanr(likelihood, other)[0]), 2),
        "maps": maps,
        "noise_to_relions": noise,
    }


def long_run(root: Path, data: Path) -> dict[str, Any]:
    """Errors of poses, and how far each species has turned as one, in degrees."""
    found, (truth, species) = read_particles(data), truth_of(root)
    turns = [common_turn(truth.orientations[species == t], found.orientations[species == t]) for t in MAPS]
    return pose_errors(found, truth, species) | {"shared_degrees": [round(float(angular_distance(turn, np.eye(3))), 2) for turn in turns]}


def compare(root: Path, seeds: list[int], work: Path) -> dict[str, Any]:
    """Everything as plain numbers."""
    code, weight = fingerprint(), mean_weights(root)
    given = read_particles(root / "Extract3d/particles.star")
    found: dict[str, Any] = {"code": code, "input": pose_errors(given, *truth_of(root)), "runs": {}, "seeds": {}}
    for source in SOURCES:
        first = read_particles(root / f"Class3D_{source}/run_it001_data.star")
        found["runs"][f"{source} RELION"] = figures(root, source, root / f"Class3D_{source}", weight) | {
            "index_of_iteration_1": round(rand_index(first.class_numbers, truth_of(root)[1]), 3)
        }
        for way in WAYS:
            folder, seconds = classified(root, source, way, 1, work, code)
            found["runs"][f"{source} {way}"] = figures(root, source, folder, weight) | {"cpu_seconds": seconds}
    wider, seconds = classified(root, "3d", "default", 1, work, code, "--offset-range", "3")
    found["runs"]["3d default, 3 px"] = figures(root, "3d", wider, weight) | {"cpu_seconds": seconds}
    longer, _ = classified(root, "3d", "default", 1, work, code, "--offset-range", "3", "--iterations", "10", "--no-stop-when-converged")
    found["ten_iterations"] = long_run(root, longer / "run_it010_data.star")
    for way in WAYS:
        rows = [figures(root, "3d", classified(root, "3d", way, seed, work, code)[0], weight) for seed in seeds]
        found["seeds"][way] = {
            "n": len(seeds),
            "seeds": seeds,
            "index_truth": [row["index_truth"] for row in rows],
            "degrees_median": [row["poses"]["degrees_median"] for row in rows],
        }
    both = [read_particles(root / f"Class3D_{s}/run_it004_data.star").floats(r.LOG_LIKELI_CONTRIBUTION) for s in SOURCES]
    found["likelihood_order_of_relions_two"] = round(float(spearmanr(*both)[0]), 2)
    return found


def tables(found: dict[str, Any]) -> str:
    """What docs/compared-with-relion5.md shows."""
    head = "| | index, truth | RELION | ° | largest | ° about the own turn | largest | Å | largest | Pmax | class distribution |"
    lines = [head, "|---" * 11 + "|"]
    poses = found["input"]
    keys = ("degrees_median", "degrees_largest", "own_degrees_median", "own_degrees_largest", "angstrom_median", "angstrom_largest")
    lines.append("| input | | | " + " | ".join(f"{poses[k]:.1f}" for k in keys) + " | | |")
    for name, run in found["runs"].items():
        cells = [f"{run['index_truth']:.2f}", f"{run['index_relion']:.2f}", *(f"{run['poses'][k]:.1f}" for k in keys), f"{run['pmax']:.2f}"]
        lines.append(f"| {name} | " + " | ".join([*cells, ", ".join(f"{s:.3f}" for s in run["shares"])]) + " |")
    shells = range(2, 11)
    for against in ("truth", "relion"):
        lines += ["", f"FSC with {'the truth' if against == 'truth' else 'the map of RELION'}, by shell:", ""]
        lines += ["| | map | " + " | ".join(map(str, shells)) + " |", "|---" * (2 + len(shells)) + "|"]
        for name, run in found["runs"].items():
            for species, curves in run["maps"].items():
                if against == "truth" or "RELION" not in name:
                    lines.append(f"| {name} | {species} | " + " | ".join(f"{curves[against][s]:.2f}" for s in shells) + " |")
    lines += ["", "Noise, ours over RELION's, shells 2 to 15 (median, range):", ""]
    for name, run in found["runs"].items():
        for when, values in run["noise_to_relions"].items():
            lines.append(f"{name}, {when}: {statistics.median(values[1:]):.2f}, {min(values[1:]):.2f} - {max(values[1:]):.2f}")
    lines += ["", f"Order of the likelihoods, RELION's two jobs: {found['likelihood_order_of_relions_two']}"]
    lines += [
        f"Order of the likelihoods, {n} and RELION: {run['likelihood_order']}" for n, run in found["runs"].items() if "RELION" not in n
    ]
    lines += ["", f"Ten iterations, 3 px: {found['ten_iterations']}"]
    lines += ["", "Further seeds, index against the truth:"]
    lines += [f"{way}: {rows['index_truth']}, degrees {rows['degrees_median']}" for way, rows in found["seeds"].items()]
    return "\n".join(lines)


def main() -> int:
    """Classify, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("golden", type=Path, help="folder with RELION's files")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 106)), help="of further runs")
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".json")), help='JSON file; "" for none')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = compare(given.golden.resolve(), given.seeds, Path(work))
    print(tables(found))
    if given.out:
        Path(given.out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
