"""What a user of the command line sees: results, sentences, exit statuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from napari_subtomo.cli.console import Lines
from napari_subtomo.cli.main import COMMANDS, main
from napari_subtomo.jobs.record import read_record
from napari_subtomo.jobs.registry import JOBS

Capture = pytest.CaptureFixture[str]


def test_a_job_prints_its_folder_and_tells_its_progress_in_tenths(
    fake: ModuleType, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lines.__init__, "__defaults__", (0.0,))
    assert main(["count", "--steps", "20"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'Count' / 'job001'}\n"
    lines = err.splitlines()
    assert lines[:2] == ["Starting after 0.", "Counting (20 steps) ..."]
    progress = [line for line in lines if "%" in line]
    assert [line.split(", ")[0] for line in progress] == [f"Counting: {10 * n} % ({2 * n}/20)" for n in range(1, 11)]
    assert "left" in progress[0] and "spent" in progress[-1]
    assert lines[-2:] == ["WARNING: Numbers never end.", "Counted to 20."]


def test_quiet_leaves_warnings_alone(fake: ModuleType, capsys: Capture) -> None:
    assert main(["count", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "WARNING: Numbers never end.\n")


@pytest.mark.parametrize(("fail", "status"), [("input", 2), ("job", 3), ("device", 4), ("memory", 3), ("disk", 3), ("bug", 1)])
def test_errors_are_one_sentence_and_a_status(fake: ModuleType, capsys: Capture, fail: str, status: int) -> None:
    assert main(["count", "--quiet", "--fail", fail]) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("napari-subtomo count: ") and len(err.splitlines()) == 1
    assert ("--debug" in err) == (fail == "bug")


def test_debug_shows_the_traceback(fake: ModuleType, capsys: Capture) -> None:
    assert main(["count", "--debug", "--fail", "input"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["conut"], "There is no command 'conut', did you mean count; see napari-subtomo --help."),
        (["count", "--step", "3"], "There is no option --step, did you mean --steps; see napari-subtomo count --help."),
        (["count", "three"], "Expected options after the arguments of napari-subtomo count, found 'three' too many; see --help."),
        (["count", "--steps", "0"], "--steps: input should be greater than or equal to 1, found '0'."),
        (["count", "--steps", "x"], "--steps: input should be a valid integer, unable to parse string as an integer, found 'x'."),
        (["count", "--from", "moon"], "--from: invalid choice: 'moon' (choose from tomogram, images); see napari-subtomo count --help."),
        (["count", "--centre", "1", "2"], "--centre: expected 3 arguments; see napari-subtomo count --help."),
        (["select", "--keep", "1"], "Give exactly one of --optimiser, --model and --data, found none."),
        (["select", "--data", "a.star"], "Give the number of at least one class to keep, or --auto."),
        (["found"], "The following arguments are required: DIR; see napari-subtomo found --help."),
        (["rerun", "nowhere"], "Expected a job record at nowhere, found none; give a job folder or its job_record.json."),
    ],
)
def test_wrong_words_get_a_sentence_and_status_2(fake: ModuleType, capsys: Capture, words: list[str], sentence: str) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert err.partition(": ")[2].replace("'tomogram', 'images'", "tomogram, images").rstrip() == sentence
    assert list(Path.cwd().iterdir()) == []


def test_rerun_makes_a_new_folder_with_the_same_options(fake: ModuleType, capsys: Capture, tmp_path: Path) -> None:
    assert main(["count", "--steps", "3", "--no-align", "-o", "a"]) == 0
    assert main(["rerun", "a", "-o", "b"]) == 0
    assert read_record(tmp_path / "a").resolved == read_record(tmp_path / "b").resolved
    assert main(["rerun", "a/job_record.json", "--quiet"]) == 0
    assert read_record(tmp_path / "Count" / "job001").options["align"] is False


def test_output_is_relative_to_the_current_folder_or_to_a_project_that_is_named(fake: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    assert main(["count", "--quiet", "-o", "here"]) == 0
    assert main(["count", "--quiet", "--project", "project", "-o", "there"]) == 0
    assert (tmp_path / "here").is_dir() and (tmp_path / "project" / "there").is_dir()


def test_a_command_whose_module_is_missing_is_not_listed_and_breaks_no_other(fake: ModuleType, capsys: Capture) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "  count " in text and "  demo " in text and "broken" not in text
    assert main([]) == 0
    assert main(["--version"]) == 0
    assert main(["broken"]) == 1


@pytest.mark.parametrize("name", [*JOBS, *COMMANDS])
def test_every_command_has_help(name: str, capsys: Capture) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: napari-subtomo {name}") and "--debug" in text


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from napari_subtomo.cli.main import main; main(['--help']); main(['classify', '--help']);"
        "heavy = {'numpy', 'scipy', 'matplotlib', 'pandas', 'starfile', 'napari', 'qtpy', 'rich', 'mrcfile'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_ends_a_table_without_complaint(tmp_path: Path) -> None:
    star = tmp_path / "x.star"
    star.write_text("data_x\n\nloop_\n_a\n" + "1234567890\n" * 20000)
    line = f"{sys.executable} -m napari_subtomo.cli.main table {star} | head -n 2"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 2


def test_a_terminal_without_the_letter_angstrom_gets_help_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "napari_subtomo.cli.main", "classify", "--help"],
        capture_output=True, timeout=60, env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0 and b"--mask-diameter ?" in done.stdout
