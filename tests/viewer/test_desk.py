"""The desk: what docks of one viewer tell each other."""

from __future__ import annotations

import gc
from pathlib import Path

from napari.components import ViewerModel

from napari_subtomo.viewer import desk
from napari_subtomo.viewer.desk import Product, desk_of


def test_a_viewer_has_one_desk_and_another_viewer_another_one() -> None:
    first, second = ViewerModel(), ViewerModel()
    assert desk_of(first) is desk_of(first)
    assert desk_of(first) is not desk_of(second)


def test_the_newest_file_of_a_role_is_found_and_told_of() -> None:
    viewer, heard = ViewerModel(), []
    here = desk_of(viewer)
    here.produced.connect(heard.append)
    first = Product("extract", Path("/p/Extract/job002"), {"particles": Path("/p/Extract/job002/particles.star")})
    second = Product("select", Path("/p/Select/job005"), {"particles": Path("/p/Select/job005/particles.star")})
    here.produce(first)
    here.produce(second)
    assert heard == [first, second]
    assert here.latest("particles") == Path("/p/Select/job005/particles.star")
    assert here.latest("particles", "extract", "pick") == Path("/p/Extract/job002/particles.star")
    assert here.latest("merged") is None


def test_a_desk_goes_with_its_viewer() -> None:
    viewer = ViewerModel()
    desk_of(viewer)
    place = id(viewer)
    del viewer
    gc.collect()
    assert place not in desk._desks
