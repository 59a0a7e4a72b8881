"""What the images of a tilt series may carry that is not taken into account here, and so is refused."""

from __future__ import annotations

from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.star import StarBlock

_IDENTITY = (1.0, 0.0, 0.0, 1.0)


def refuse_aberrations(particles: ParticleSet) -> None:
    """Refuse optics groups with beam tilt, aberrations or an anisotropic magnification that are not zero.

    Raises
    ------
    InputError
        Says which, and in which optics group.
    """
    optics = particles.optics
    if optics is None:
        return
    names = optics.columns.get(relion.OPTICS_GROUP_NAME) or optics.columns.get(relion.OPTICS_GROUP) or ("?",) * len(optics)
    for row, name in enumerate(names):
        found = _aberration(optics, row)
        if found:
            raise InputError(
                f"Expected an optics group {name} without {found} in {particles.path or 'the particles'}: it is not corrected when images "
                "are extracted here; extract with RELION, or take it out of the optics table if it is negligible."
            )


def _aberration(optics: StarBlock, row: int) -> str | None:
    """What is not zero in a row of an optics table."""

    def numbers(label: str) -> list[float]:
        if not optics.has(label):
            return []
        text = optics.texts(label)[row]
        try:
            return [float(part) for part in text.strip("[]").split(",") if part.strip()]
        except ValueError:
            raise optics.bad_cell(label, row, "numbers") from None

    for label, words in ((relion.ODD_ZERNIKE, "antisymmetrical aberrations"), (relion.EVEN_ZERNIKE, "symmetrical aberrations")):
        if any(numbers(label)):
            return f"{words} (_{label})"
    for label in relion.BEAM_TILT:
        if any(numbers(label)):
            return f"a beam tilt (_{label})"
    for label, expected in zip(relion.MAGNIFICATION_MATRIX, _IDENTITY, strict=True):
        if any(number != expected for number in numbers(label)):
            return f"an anisotropic magnification (_{label})"
    return None


def refuse_series(tomogram: Tomogram, series: TiltSeries) -> None:
    """Refuse a tilt series that its images cannot be extracted from.

    Raises
    ------
    InputError
        Deformed images, no tilts, or an alignment without image shifts.
    """
    if len(series) == 0:
        raise InputError(f"Expected tilts of the tomogram {tomogram.name} in {tomogram.tilt_series_path}, found none.")
    if series.deformed:
        raise InputError(
            f"Expected tilt images without deformations for {tomogram.name}, found coefficients that are not zero "
            f"(_{relion.TOMO_DEFORMATION_COEFFICIENTS}): they are not applied here; extract with RELION, or from the tomogram."
        )
    if any(number != number for number in (*series.x_shift.tolist(), *series.y_shift.tolist())):
        raise InputError(
            f"Expected angles and shifts of the images of {tomogram.name} (_{relion.TOMO_Y_TILT}, _{relion.TOMO_X_SHIFT} ...), found "
            "projection matrices of RELION 4; open the project with RELION 5, which converts them."
        )
