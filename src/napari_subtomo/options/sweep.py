"""Options of `sweep`: those of a classification, of which some take several values."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

from pydantic import ValidationError, create_model, model_validator

from napari_subtomo.options.base import JobOptions, option
from napari_subtomo.options.classify import ClassifyOptions


class Swept(JobOptions):
    """Classify with each number of classes and each T, and compare: one job a cell, and a table."""

    classes: tuple[int, ...] = option(
        (1,), "Numbers of classes, the empty class not counted.", title="Number of classes", group="Optimisation"
    )
    regularisation: tuple[float, ...] = option(
        (1.0,),
        "Values of T: larger, more fine detail and more noise in the classes.",
        title="Regularisation parameter T",
        group="Optimisation",
    )

    @model_validator(mode="after")
    def _every_cell(self) -> Swept:
        if not self.classes or not self.regularisation:
            raise ValueError("give at least one number of classes and one value of T")
        for values, flag in ((self.classes, "--classes"), (self.regularisation, "--regularisation")):
            if len(set(values)) < len(values):
                raise ValueError(f"expected different values for {flag}, found {' '.join(f'{v:g}' for v in values)}")
        try:
            for _ in self.cells():
                pass
        except ValidationError as error:
            first = error.errors()[0]
            where = f"--{first['loc'][0]}: ".replace("_", "-") if first["loc"] else ""
            raise ValueError(f"{where}{first['msg'].removeprefix('Value error, ')}") from None
        return self

    def cells(self) -> Iterator[ClassifyOptions]:
        """The options of each cell: for each T (outer) each number of classes, in the order given."""
        shared = {name: getattr(self, name) for name in ClassifyOptions.model_fields if name in self.model_fields_set - SWEPT}
        for regularisation in self.regularisation:
            for classes in self.classes:
                yield ClassifyOptions(**shared, classes=classes, regularisation=regularisation)


#: options of a classification that take several values here
SWEPT = frozenset(Swept.model_fields)

_SHARED: dict[str, Any] = {name: (info.annotation, copy(info)) for name, info in ClassifyOptions.model_fields.items() if name not in SWEPT}

#: the model of the job: what is swept, and every other option of a classification as it is there
SweepOptions = create_model("SweepOptions", __base__=Swept, __doc__=Swept.__doc__, __module__=__name__, **_SHARED)
