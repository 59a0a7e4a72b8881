"""Which particles were chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Selection:
    """A choice of particles out of a set; order of rows as in the set.

    Attributes
    ----------
    keep : ndarray of bool, shape (n,)
        True for the particles that stay; read-only.
    classes : tuple of int
        Class numbers (1-based) that were kept; empty where classes played no role.
    ids : tuple of str
        Row ids of all n particles; empty where the set has none.
    """

    keep: BoolArray
    classes: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take a read-only copy of the mask; refuse ids of another length."""
        keep = np.array(self.keep, dtype=bool).ravel()
        if self.ids and len(self.ids) != len(keep):
            raise InputError(f"Expected one row id a particle, found {len(self.ids)} ids for {len(keep)} particles.")
        keep.flags.writeable = False
        object.__setattr__(self, "keep", keep)

    @classmethod
    def of_classes(cls, class_numbers: npt.ArrayLike, classes: Iterable[int], ids: Iterable[str] = ()) -> Selection:
        """The particles whose class number is among `classes`.

        Parameters
        ----------
        class_numbers : array_like of int, shape (n,)
            1-based; 0 where a particle has no class.
        classes : iterable of int
        ids : iterable of str, optional
        """
        wanted = tuple(dict.fromkeys(int(c) for c in classes))
        return cls(np.isin(np.asarray(class_numbers), wanted), wanted, tuple(ids))

    def __len__(self) -> int:
        """Number of particles the choice was made from."""
        return len(self.keep)

    @property
    def rejected(self) -> BoolArray:
        """True for the particles that go, shape (n,)."""
        return ~self.keep

    @property
    def n_kept(self) -> int:
        """Number of particles that stay."""
        return int(self.keep.sum())

    @property
    def n_rejected(self) -> int:
        """Number of particles that go."""
        return len(self.keep) - self.n_kept

    @property
    def kept_ids(self) -> tuple[str, ...]:
        """Row ids of the particles that stay."""
        return tuple(name for name, keep in zip(self.ids, self.keep, strict=False) if keep)

    def and_only(self, mask: npt.ArrayLike) -> Selection:
        """The particles of this choice that `mask`, shape (n,), keeps too."""
        return replace(self, keep=self.keep & np.asarray(mask, dtype=bool))
