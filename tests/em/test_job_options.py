"""Options of the EM through whole jobs: files, records, what is refused, and how a job that stopped by itself goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import em_files
from helpers.em_world import PIXEL, World, simulate

from napari_subtomo.em.inputs import angle_priors
from napari_subtomo.errors import InputError, JobError
from napari_subtomo.geometry.orientations import matrix_to_euler
from napari_subtomo.io import relion as r
from napari_subtomo.io.class3d import complete_iterations
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.jobs.record import read_record
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.classify import RELION
from napari_subtomo.progress import Silent


class Listener(Silent):
    """Keeps messages and events."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def event(self, kind: str, **data: Any) -> None:
        self.events.append({"kind": kind, **data})


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(n=16, count=20, empty=4, snr=1.0, species=2, error=5.0, seed=2, domain=2.0)


@pytest.fixture(scope="module")
def project(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    em_files.write_project(root, world)
    return root


def test_a_job_that_converged_says_so_everywhere_and_goes_on_when_told(project: Path, world: World) -> None:
    first = Listener()
    folder, result = em_files.classify(project, world, "Class3D/stop", first, iterations=15)
    done = complete_iterations(folder.path)
    last = done[-1]
    assert done == list(range(last + 1)) and 7 <= last < 15
    assert result.numbers["converged"] and result.numbers["iterations"] == last
    assert any(
        "Converged: in 3 iterations" in line and "--no-stop-when-converged goes on to iteration 15" in line for line in result.summary
    )
    assert [event["of"] for event in first.events] == [15] * last + [last]  # progress ends full
    assert [bool(event["converged"]) for event in first.events] == [False] * last + [True]
    for iteration in (last - 1, last):
        block = read_star(folder.file(f"run_it{iteration:03d}_optimiser.star")).first
        assert block.ints(r.HAS_CONVERGED)[0] == int(iteration == last) and block.ints(r.NUMBER_OF_ITERATIONS)[0] == 15

    again = Listener()
    em_files.classify(project, world, "Class3D/stop", again, iterations=20)  # more of them change nothing
    assert complete_iterations(folder.path) == done and any("Converged" in text for text in again.messages)
    em_files.classify(project, world, "Class3D/stop", iterations=last + 1, stop_when_converged=False)
    assert complete_iterations(folder.path) == [*done, last + 1]
    assert read_star(folder.file(f"run_it{last + 1:03d}_optimiser.star")).first.ints(r.HAS_CONVERGED)[0] == 0


def test_a_finished_job_that_converged_is_gone_on_with_by_the_switch_alone(project: Path, world: World) -> None:
    options = em_files.options_for(project, world, iterations=12, align=False)
    folder, _ = run_job("classify", options, project=project, output=project / "Class3D/switch", reporter=Silent())
    last = complete_iterations(folder.path)[-1]
    assert last < 12
    with pytest.raises(JobError, match="A finished classify job is in"):
        run_job("classify", options, project=project, output=folder.path, reporter=Silent())
    with pytest.raises(JobError, match=r"with other options: classes\)"):
        other = options.model_copy(update={"stop_when_converged": False, "classes": 3})
        run_job("classify", other, project=project, output=folder.path, reporter=Silent())
    run_job("classify", options.model_copy(update={"stop_when_converged": False}), project=project, output=folder.path, reporter=Silent())
    assert complete_iterations(folder.path) == list(range(13)) and read_record(folder.path).resumed == 1


def test_all_iterations_are_run_where_that_is_asked_for(project: Path, world: World) -> None:
    folder, result = em_files.classify(project, world, "Class3D/all", iterations=10, stop_when_converged=False)
    assert complete_iterations(folder.path) == list(range(11)) and not result.numbers["converged"]


def test_the_values_of_a_preset_are_in_the_record(project: Path, world: World) -> None:
    options = em_files.options_for(project, world, preset="relion", iterations=1, folds=2, fixed_sampling=True)
    folder, _ = run_job("classify", options, project=project, reporter=Silent())
    record = read_record(folder.path)
    assert {name: record.options[name] for name in RELION} == {**RELION, "folds": 2, "restarts": 2}  # restarts are among the helper's own
    assert record.options["preset"] == "relion"


def test_a_focus_mask_from_a_file_and_one_beside_the_particle(project: Path, world: World) -> None:
    focus = np.zeros((16, 16, 16), np.float32)
    focus[8:13, 4:12, 8:13] = 1
    write_mrc(project / "focus.mrc", focus, PIXEL)
    _, result = em_files.classify(project, world, "Class3D/focus", focus_mask=project / "focus.mrc", align=False)
    assert result.numbers["iterations"] == 4
    focus[:] = 0
    focus[0, 0, 0] = 1
    write_mrc(project / "corner.mrc", focus, PIXEL)
    with pytest.raises(InputError, match=r"Expected a focus mask that meets the mask of the references, found none in .*corner\.mrc"):
        em_files.classify(project, world, "Class3D/corner", focus_mask=project / "corner.mrc")


def test_scales_of_particles_are_a_column_and_of_tomograms_their_means(project: Path, world: World) -> None:
    folder, _ = em_files.classify(project, world, "Class3D/scales", iterations=2)
    found = read_particles(folder.file("run_it002_data.star"))
    scales, names = found.floats(r.PARTICLE_SCALE), np.array(found.tomo_names)
    groups = read_star(folder.file("run_it002_model.star"))["model_groups"]
    for name, value, count in zip(
        groups.texts(r.GROUP_NAME), groups.floats(r.GROUP_SCALE_CORRECTION), groups.ints(r.GROUP_NR_PARTICLES), strict=True
    ):
        assert value == pytest.approx(scales[names == name].mean(), abs=1e-5) and count == (names == name).sum()
    plain, _ = em_files.classify(project, world, "Class3D/plain", particle_scales=False, iterations=1)
    assert not read_particles(plain.file("run_it001_data.star")).has(r.PARTICLE_SCALE)


def test_centres_of_priors_are_the_columns_or_the_input_angles(project: Path, world: World) -> None:
    particles = read_particles(project / "particles.star")
    angles, order = matrix_to_euler(particles.angles), np.arange(len(particles))[::-1]
    options = em_files.options_for(project, world, sigma_tilt=10.0)
    found = angle_priors(options, particles, order)
    assert found is not None
    np.testing.assert_allclose(found.tilt, angles[order, 1])
    given = np.full(len(particles), 90.0)
    given[3] = 999.0  # RELION's word for none
    with_column = particles.with_columns({r.ANGLE_TILT_PRIOR: given})
    found = angle_priors(options, with_column, np.arange(len(particles)))
    assert found is not None and found.tilt[3] == pytest.approx(angles[3, 1]) and set(np.delete(found.tilt, 3)) == {90.0}
    np.testing.assert_allclose(found.psi, angles[:, 2])
    assert angle_priors(em_files.options_for(project, world), particles, order) is None


def test_filaments_are_said_to_be_classified_as_single_particles(project: Path, world: World) -> None:
    particles = read_particles(project / "particles.star")
    write_particles(project / "tubes.star", particles.with_columns({r.HELICAL_TUBE_ID: np.ones(len(particles), np.int64)}))
    listener = Listener()
    em_files.classify(project, world, "Class3D/tubes", listener, particles=project / "tubes.star", iterations=1, align=False)
    assert "rlnHelicalTubeID" in listener.warnings[0] and "not supported" in listener.warnings[0]


def test_widths_of_priors_are_in_the_model(project: Path, world: World) -> None:
    folder, _ = em_files.classify(project, world, "Class3D/priors", iterations=1, sigma_tilt=2.0, sigma_psi=9.0)
    general = read_star(folder.file("run_it001_model.star"))["model_general"]
    widths = [general.floats(label)[0] for label in (r.SIGMA_PRIOR_ROT, r.SIGMA_PRIOR_TILT, r.SIGMA_PRIOR_PSI)]
    assert widths == [4.0, 2.0, 4.0]  # local range of 12°: sigma 4°, and the narrower of two
