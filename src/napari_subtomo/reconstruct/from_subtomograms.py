"""Averages of extracted subtomograms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.subtomograms import SubtomogramSource
from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.numerics.backend import device_context, to_host
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.reconstruct.average import average, backprojection_envelope, crop
from napari_subtomo.reconstruct.sums import FourierSums, solve

FloatMap = npt.NDArray[np.float32]


class SubtomogramAverage:
    """The work of averaging extracted subtomograms.

    Parameters
    ----------
    options : ReconstructOptions
    particles : ParticleSet
    source : SubtomogramSource
        Of these particles.

    Raises
    ------
    GeometryError
        A cropped box beyond that of the particles.
    """

    def __init__(self, options: ReconstructOptions, particles: ParticleSet, source: SubtomogramSource) -> None:
        self.options, self.particles, self.source = options, particles, source
        self.n, self.pixel_size = source.n, source.pixel_size
        self.box = source.box if options.crop_size is None else options.crop_size
        if self.box > source.box:
            raise GeometryError(f"Expected a cropped box of at most {source.box} px, the box of the particles, found {self.box}.")

    @property
    def sentence(self) -> str:
        """What is averaged."""
        return f"{self.n} particles, box {self.source.box} px of {self.pixel_size:g} Å, symmetry {self.options.symmetry}"

    def memory(self, threads: int) -> float:
        """Bytes: two sums of 24 bytes a node and the maps' temporaries; 12 bytes a node and 64 bytes a point for each thread."""
        nodes, points = 4 * self.source.box**3, 2_000_000 + 0.26 * self.source.box**3
        return 5 * 24 * nodes + (threads + 2) * (12 * nodes + 100 * points)

    def maps(self, halves: npt.NDArray[np.int64], device: str, reporter: Reporter) -> dict[str, FloatMap]:
        """Merged map and, where `halves` (n,) has both 1 and 2, theirs: by the names of their files."""
        sums = average(
            self.source,
            self.particles.angles,
            self.particles.origins / self.pixel_size,
            halves,
            device=device,
            threads=self.options.threads,
            reporter=reporter,
        )
        with device_context(device):
            return self._solved(sums, reporter)

    def _solved(self, sums: dict[int, FourierSums], reporter: Reporter) -> dict[str, FloatMap]:
        group = symmetry_matrices(self.options.symmetry)
        wanted: dict[str, list[int]] = {"merged": sorted(sums)}
        if 1 in sums and 2 in sums:
            wanted |= {"half1": [1], "half2": [2]}
        reporter.stage("dividing by the weights", len(wanted), "maps")
        maps = {}
        for name, keys in wanted.items():
            total = sums[keys[0]]
            for key in keys[1:]:
                total = total + sums[key]
            volume = to_host(solve(total, group, self.options.snr))
            if self.options.gridding_correction:
                volume = volume / backprojection_envelope(len(volume))
            maps[name] = crop(volume, self.box)
            reporter.advance()
        return maps
