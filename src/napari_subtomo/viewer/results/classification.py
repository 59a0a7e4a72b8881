"""A classification as it goes: class slices of the last whole iteration, and curves over all; a second look reads what is new."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io import relion as r
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, StarFile, read_star
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer import palette
from napari_subtomo.viewer.class_figures import missing_sentence
from napari_subtomo.viewer.classjob import ClassJob, read_class_job
from napari_subtomo.viewer.results.pictures import FloatImage, Tile, grey, map_sections, shared_limits
from napari_subtomo.viewer.results.plots import Curve, FloatArray, Plot, from_zero
from napari_subtomo.viewer.sources import iterations

#: An iteration without all of its files is still being written while its newest file is younger than this, s.
FRESH = 60.0
#: Curves a user can choose: name of the choice -> what it shows.
CHOICES = {
    "Occupancy": "Fraction of the particles in each class (class distribution)",
    "Changes": "Particles whose class changed since the iteration before",
    "Angles": "Mean change of the orientations since the iteration before",
    "Offsets": "Mean change of the offsets since the iteration before",
    "Resolution": "Resolution of each class; dashed: the one that the next iteration uses",
}
_FRAMES = "classes in the colours of their frames"
_KEPT_TABLES = (r.MODEL_GENERAL, r.MODEL_CLASSES, r.OPTIMISER_GENERAL)
_Stamp = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Progress:
    """What a classification has come to.

    Attributes
    ----------
    job : ClassJob
        Of the iterations that are whole.
    planned : int
        Iterations that it is to run; 0 where no file tells.
    sections : tuple of (tuple of ndarray) or None
        Central xy, xz and yz of each class map; None where there is none.
    limits : tuple of float
        Grey values of black and white.
    voxel_size : float
        Å, of the maps; 0 where no file tells.
    note : str
        What is missing, in a sentence.
    """

    job: ClassJob
    planned: int
    sections: tuple[tuple[FloatImage, ...] | None, ...]
    limits: tuple[float, float]
    voxel_size: float
    note: str = ""

    @property
    def iteration(self) -> int:
        """The last whole one."""
        return int(self.job.iterations[-1])

    @property
    def title(self) -> str:
        """Folder and iteration, e.g. "Class3D/job004, iteration 7 of 15"."""
        return self.job.title + (f" of {self.planned}" if self.planned else "")

    def tiles(self) -> tuple[Tile, ...]:
        """The classes as pictures with number, fraction, count and resolution."""
        return tuple(self._tile(number) for number in range(1, self.job.n_classes + 1))

    def _tile(self, number: int) -> Tile:
        job, row = self.job, number - 1
        sections = self.sections[row]
        fraction, resolution = job.fractions[-1, row], job.resolutions[-1, row]
        share = f"{100 * fraction:.1f} %" if np.isfinite(fraction) else ""
        known = job.counts is not None and bool(job.counts.sum())
        count = f"{job.counts[row]}" if known and job.counts is not None else ""
        angstrom = f"{resolution:.1f} Å" if np.isfinite(resolution) else "–"
        empty = number == job.empty_class
        name = f"class {number}" + (" (empty: it takes false picks)" if empty else "")
        tip = ", ".join(part for part in (name, share, count and f"{count} particles", angstrom) if part)
        if sections is None:
            tip += "; its map is not here"
        lines = (f"{number} · {share}" if share else f"{number}", count and f"n = {count}", "empty" if empty else angstrom)
        image = None if sections is None else grey(sections[0], self.limits)
        return Tile(str(number), image, tuple(line for line in lines if line), tip, class_colour(number, job.empty_class))

    def plot(self, choice: str) -> Plot:
        """The curves of one of `CHOICES`."""
        job = self.job
        x = job.iterations.astype(np.float64)
        x_range = (min(float(x[0]), 0.0), float(max(self.planned, x[-1], 1)))
        if choice == "Occupancy":
            return Plot(
                self._by_class(100 * job.fractions),
                "Iteration",
                "Particles (%)",
                x_range,
                from_zero(100 * job.fractions),
                " %",
                hint=_FRAMES,
            )
        if choice == "Resolution":
            next_one = Curve("next iteration", x, job.current_resolution, dashed=True)
            values = np.append(job.resolutions.ravel(), job.current_resolution)
            empty = "No class has a resolution yet."
            return Plot(
                (*self._by_class(job.resolutions), next_one), "Iteration", "Resolution (Å)", x_range, from_zero(values), " Å", empty=empty
            )
        values, label, unit, colour = {
            "Changes": (100 * job.change_classes, "Changed class (%)", " %", palette.OKABE_ITO[4]),
            "Angles": (job.change_orientations, "Change of angles (°)", "°", palette.OKABE_ITO[3]),
            "Offsets": (job.change_offsets, "Change of offsets (Å)", " Å", palette.OKABE_ITO[2]),
        }[choice]
        empty = "Changes are known from the second iteration on." if self.iteration < 2 else "The files do not tell the changes."
        curve = Curve("all particles", x, values, colour, points=True, listed=False)
        return Plot((curve,), "Iteration", label, x_range, from_zero(values, 0.1), unit, empty=empty, decimals=2)

    def _by_class(self, values: FloatArray) -> tuple[Curve, ...]:
        x = self.job.iterations.astype(np.float64)
        empty = self.job.empty_class
        return tuple(
            Curve(f"class {n}", x, column, class_colour(n, empty), dashed=n == empty, points=True, listed=False)
            for n, column in enumerate(values.T, 1)
        )


def class_colour(number: int, empty_class: int = 0) -> str:
    """ "#RRGGBB" of a class, as everywhere; grey for the empty one."""
    return palette.GREY if number == empty_class else palette.to_hex(palette.class_colours([number])[0])


@dataclass
class ProgressReader:
    """Reads one job folder again and again; keeps what did not change.

    Parameters
    ----------
    folder : Path
    project : Project
    """

    folder: Path
    project: Project
    _stars: dict[Path, tuple[_Stamp, StarFile]] = field(default_factory=dict)
    _sections: dict[Path, tuple[_Stamp, tuple[FloatImage, ...]]] = field(default_factory=dict)

    def read(self, reporter: Reporter) -> Progress | None:
        """What the files tell now; None while there is no iteration yet.

        Raises
        ------
        SubtomoError
            No iteration can be read.
        """
        models = list(iterations(self.folder, "model"))
        failure: SubtomoError | None = None
        while models:
            reporter.check()
            try:
                job = read_class_job(self.folder, self.project, read=self._star, numbers=models)
            except SubtomoError as error:  # broken, or still being written: the one before tells more
                failure = error
            else:
                if job is not None and not (len(models) > 1 and self._is_unfinished(job)):
                    return self._progress(job, failure, reporter)
            models.pop()
        if failure is not None:
            raise failure
        return None

    def _progress(self, job: ClassJob, failure: SubtomoError | None, reporter: Reporter) -> Progress:
        sections = []
        for path in job.maps:
            reporter.check()
            sections.append(None if path is None else self._map(path))
        shown = [group or () for group in sections]
        last = int(job.iterations[-1])
        general = self._general(last, "model", r.MODEL_GENERAL)
        optimiser = self._general(last, "optimiser", r.OPTIMISER_GENERAL)
        planned = int(float(optimiser.text(r.NUMBER_OF_ITERATIONS, "0"))) if optimiser is not None else 0
        voxel = float(general.text(r.PIXEL_SIZE, "0")) if general is not None else 0.0
        notes = [missing_sentence(job) + "."] if job.missing else []
        if failure is not None and not self._is_fresh(iterations(self.folder, "model").values()):
            notes.append(str(failure))
        self._forget(job)
        return Progress(job, planned, tuple(sections), shared_limits(shown, job.fractions[-1].tolist()), voxel, " ".join(notes))

    def _general(self, iteration: int, what: str, table: str) -> StarBlock | None:
        path = iterations(self.folder, what).get(iteration)
        try:
            return self._star(path).get(table) if path is not None else None
        except SubtomoError:
            return None

    def _is_unfinished(self, job: ClassJob) -> bool:
        """Whether the last iteration lacks files that the former has, or others that may yet come."""
        *_, former, last = job.iterations.tolist()
        optimisers = iterations(self.folder, "optimiser")
        if last not in optimisers and former in optimisers:
            return True
        paths = (iterations(self.folder, "model").get(last), optimisers.get(last))
        return bool(job.missing) and self._is_fresh(path for path in paths if path is not None)

    def _is_fresh(self, paths: Iterable[Path]) -> bool:
        return any(time.time() - path.stat().st_mtime < FRESH for path in paths if path.is_file())

    def _star(self, path: Path) -> StarFile:
        """A STAR file, read only if it changed; of models and optimisers only the tables that are needed are kept."""
        stamp = _stamp(path)
        known = self._stars.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        star = read_star(path)
        if any(block.name in _KEPT_TABLES for block in star.blocks):
            star = replace(star, blocks=tuple(block for block in star.blocks if block.name in _KEPT_TABLES))
        self._stars[path] = (stamp, star)
        return star

    def _map(self, path: Path) -> tuple[FloatImage, ...] | None:
        stamp = _stamp(path)
        known = self._sections.get(path)
        if known is None or known[0] != stamp:
            try:
                self._sections[path] = known = (stamp, map_sections(path))
            except SubtomoError:
                return None
        return known[1]

    def _forget(self, job: ClassJob) -> None:
        """Drop particles and maps of former iterations: they are large and not asked for again."""
        maps = set(job.maps)
        self._sections = {path: value for path, value in self._sections.items() if path in maps}
        last = f"_it{int(job.iterations[-1]):03d}_"
        self._stars = {p: v for p, v in self._stars.items() if not p.name.endswith("_data.star") or last in p.name}


def _stamp(path: Path) -> _Stamp:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)
