"""What the docks of one viewer tell each other: files that jobs have made, and jobs that run. Docks know the desk, not each other."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_subtomo.viewer.view import own_viewer

if TYPE_CHECKING:
    from napari.components import ViewerModel


@dataclass(frozen=True)
class Product:
    """What a finished job left.

    Attributes
    ----------
    job : str
        Its name in the registry: "pick", "extract", "reconstruct", "classify", "select", "remove-duplicates".
    folder : Path
    outputs : mapping of str to Path
        Absolute paths by role, as in `JobResult.outputs`: "particles", "optimisation_set", "merged", "optimiser", …
    """

    job: str
    folder: Path
    outputs: Mapping[str, Path] = field(default_factory=dict)


class Desk:
    """Products in the order in which they came, and signals for the docks."""

    #: a job ended well
    produced = Signal(Product)
    #: folder of a classification that a dock follows, and the last iteration whose files are whole
    iterated = Signal(Path, int)

    def __init__(self) -> None:
        self._products: list[Product] = []

    @property
    def products(self) -> tuple[Product, ...]:
        """All that was produced while this viewer lives, oldest first."""
        return tuple(self._products)

    def produce(self, product: Product) -> None:
        """Tell the docks of a finished job."""
        self._products.append(product)
        self.produced.emit(product)

    def latest(self, role: str, *jobs: str, project: Path | None = None) -> Path | None:
        """The newest file of a role, of the named jobs or of any, within a project or anywhere; None if there is none."""
        for product in reversed(self._products):
            inside = project is None or product.folder.is_relative_to(project)
            if inside and role in product.outputs and (not jobs or product.job in jobs):
                return product.outputs[role]
        return None


_desks: dict[int, tuple[weakref.ref[ViewerModel], Desk]] = {}


def desk_of(viewer: ViewerModel) -> Desk:
    """The desk of a viewer; made at the first call, gone with the viewer."""
    viewer = own_viewer(viewer)
    found = _desks.get(id(viewer))
    if found is not None and found[0]() is viewer:
        return found[1]
    place, desk = id(viewer), Desk()
    _desks[place] = (weakref.ref(viewer, lambda _: _desks.pop(place, None)), desk)
    return desk
