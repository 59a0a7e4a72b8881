"""What the manifest offers, called through npe2 as napari does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager, io_utils

from napari_subtomo.errors import InputError, JobCancelled
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.progress import Silent
from napari_subtomo.viewer import samples
from napari_subtomo.viewer.layers import KEY
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.readers import mrc_reader, session_layers, star_reader
from napari_subtomo.viewer.writers import write_points
from napari_subtomo.widgets.sample import open_sample

NAME = "napari-subtomo"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def manager() -> PluginManager:
    instance = PluginManager.instance()
    instance.discover()
    return instance


def test_every_command_of_the_manifest_can_be_imported(manager: PluginManager) -> None:
    manifest = manager.get_manifest(NAME)
    assert manifest.display_name == "Subtomogram analysis"
    assert manifest.contributions.commands
    for command in manifest.contributions.commands:
        assert callable(manager.commands.get(command.id)), command.id


def test_the_manifest_of_the_package_is_the_file_at_the_top() -> None:
    assert (ROOT / "src" / "napari_subtomo" / "napari.yaml").resolve() == ROOT / "napari.yaml"


@pytest.mark.parametrize("name", ["Select/job005/particles.star", "Class3D/job004/run_it001_optimiser.star", "tomograms.star"])
def test_star_files_are_read_as_tomogram_particles_and_orientations(manager: PluginManager, project: Any, name: str) -> None:
    found, contribution = io_utils.read_get_reader([str(project.root / name)], stack=False)
    assert contribution.plugin_name == NAME
    assert [kind for _, _, kind in found] == ["image", "points", "vectors"]
    for _, settings, _ in found:
        np.testing.assert_array_equal(settings["scale"], [10.0] * 3)


@pytest.mark.parametrize("ending", ["mrc", "mrcs", "rec", "map"])
def test_mrc_volumes_are_read_with_their_voxel_size_and_stay_on_disk(manager: PluginManager, tmp_path: Path, ending: str) -> None:
    write_mrc(tmp_path / f"map.{ending}", np.random.default_rng(0).normal(size=(4, 5, 6)), 7.84)
    (layer,), contribution = io_utils.read_get_reader([str(tmp_path / f"map.{ending}")], stack=False)
    data, settings, kind = layer
    assert (contribution.plugin_name, kind) == (NAME, "image")
    assert isinstance(data, np.memmap)
    np.testing.assert_allclose(settings["scale"], [7.84] * 3, rtol=1e-6)


def test_readers_leave_other_files_alone() -> None:
    assert star_reader("picture.png") is None
    assert mrc_reader(["a.mrc", "b.tif"]) is None


def test_a_broken_file_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.mrc").write_bytes(b"short")
    reader = mrc_reader(str(tmp_path / "bad.mrc"))
    assert reader is not None
    with pytest.raises(InputError, match="cut off"):
        reader(str(tmp_path / "bad.mrc"))


def test_the_particles_layer_is_written_with_all_columns_of_all_tomograms(manager: PluginManager, project: Any, tmp_path: Path) -> None:
    points = next(layer for layer in session_layers(load_session(project.root)) if layer[2] == "points")
    written, contribution = io_utils.write_get_writer(str(tmp_path / "kept.star"), [points])
    assert contribution.plugin_name == NAME
    assert written == [str(tmp_path / "kept.star")]
    assert (tmp_path / "kept.star").read_bytes() == project.kept.read_bytes()


def test_an_edited_particles_layer_writes_its_edit(project: Any, tmp_path: Path) -> None:
    data, settings, _ = next(layer for layer in session_layers(load_session(project.kept)) if layer[2] == "points")
    moved = data.copy()
    moved[0, 0] += 2
    write_points(str(tmp_path / "kept.star"), moved, settings)
    before, after = read_particles(project.kept), read_particles(tmp_path / "kept.star")
    np.testing.assert_allclose(after.positions() - before.positions(), [[0, 0, 20]] + [[0, 0, 0]] * 7, atol=1e-5)
    assert after.texts(r.ANGLE_ROT) == before.texts(r.ANGLE_ROT)


def test_points_without_a_tomogram_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="open a project"):
        write_points(str(tmp_path / "x.star"), np.zeros((2, 3)), {"name": "mine", "metadata": {}})
    assert not (tmp_path / "x.star").exists()


# --- the sample ----------------------------------------------------------------------------------------------------------------


class StopAt(Silent):
    """A reporter that asks to stop after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        self.check()

    def check(self) -> None:
        if self.left <= 0:
            raise JobCancelled("Stopped.")


def small_sample(monkeypatch: pytest.MonkeyPatch, cache: Path) -> list[int]:
    """The simulation at the smallest size, in a cache of the test's own; the list grows with each run."""
    import napari_subtomo.simulate as simulate

    whole, runs = simulate.make_sample, []

    def small(directory: Path, **more: Any) -> Any:
        runs.append(1)
        return whole(directory, width=192, tomograms=1, particles=3, tilt_step=20.0, **more)

    monkeypatch.setattr(simulate, "make_sample", small)
    monkeypatch.setenv("SUBTOMO_CACHE", str(cache))
    return runs


def test_the_sample_is_simulated_once_and_opens_as_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = small_sample(monkeypatch, tmp_path)
    monkeypatch.setattr("napari_subtomo.widgets.sample._has_window", lambda: False)
    first, second = open_sample(), open_sample()
    assert len(runs) == 1
    assert [kind for _, _, kind in first] == [kind for _, _, kind in second] == ["image", "points", "vectors"]
    assert first[1][1]["metadata"][KEY]["session"].project == samples.sample_folder()
    assert len(first[1][0]) > 3  # true and false picks


def test_a_cancelled_sample_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_sample(monkeypatch, tmp_path)
    with pytest.raises(JobCancelled):
        samples.sample_project(StopAt(3))
    assert list(tmp_path.iterdir()) == []


def test_folders_of_projects_are_read_and_others_are_left_to_other_plugins(project: Any, tmp_path: Path) -> None:
    from napari_subtomo.viewer.readers import folder_reader

    (tmp_path / "pictures").mkdir()
    assert folder_reader(str(tmp_path / "pictures")) is None
    for folder in (project.root, project.kept.parent, project.data.parent):
        reader = folder_reader(str(folder))
        assert reader is not None
        assert [kind for _, _, kind in reader(str(folder))] == ["image", "points", "vectors"]


def test_napari_is_offered_this_plugin_for_folders_and_its_own_files_alone(tmp_path: Path) -> None:
    from napari.plugins._npe2 import get_readers

    PluginManager.instance().discover()
    offered = {name: "napari-subtomo" in get_readers(str(tmp_path / name)) for name in ("a.tif", "a.zarr", "a.star", "a.mrc", "")}
    assert offered == {"a.tif": False, "a.zarr": False, "a.star": True, "a.mrc": True, "": True}
