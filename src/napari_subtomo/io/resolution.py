"""How well a map is resolved, by the files of the job that made it."""

from __future__ import annotations

import re
from pathlib import Path

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star

_CLASS_MAP = re.compile(r"(run(?:_ct\d+)?(?:_it\d+)?)_(?:half[12]_)?class(\d+)(?:_unfil)?\.mrc$")
_UNKNOWN = 999.0  # RELION's mark for a resolution that is not known


def resolution_of(average: Path, project: Project) -> float | None:
    """Resolution in Å of a map by the files that its job left beside it; None where they do not tell."""

    def fsc() -> float:
        star = read_star(average.with_name("fsc.star" if average.stem in ("merged", "half1", "half2") else "postprocess.star"))
        return float(star[relion.GENERAL].floats(relion.FINAL_RESOLUTION)[0])

    def model() -> float:
        match = _CLASS_MAP.search(average.name)
        if match is None:
            return _UNKNOWN
        star = read_star(average.with_name(f"{match[1]}_model.star"))
        classes = star[relion.MODEL_CLASSES]
        if classes.has(relion.ESTIMATED_RESOLUTION):
            return float(classes.floats(relion.ESTIMATED_RESOLUTION)[int(match[2]) - 1])
        return float(star[relion.MODEL_GENERAL].floats(relion.CURRENT_RESOLUTION)[0])

    try:
        value = model() if _CLASS_MAP.search(average.name) else fsc()
    except (SubtomoError, OSError, ValueError, KeyError, IndexError):
        return None
    return value if 0 < value < _UNKNOWN else None
