"""Options models become flags: what a user writes arrives as the model's values."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
from pydantic import Field

from napari_subtomo.cli.job_command import job_parser
from napari_subtomo.cli.parser import model_parser, parse
from napari_subtomo.jobs.commandline import command_words
from napari_subtomo.jobs.record import validated
from napari_subtomo.jobs.registry import JOBS, get_job
from napari_subtomo.options.base import JobOptions, option


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Options(JobOptions):
    """Every kind of field."""

    number: int = option(1, "Number.", group="A", unit="px")
    maybe: float | None = option(None, "Perhaps.", group="A", unit="Å")
    flag: bool = option(False, "Switch.", group="B")
    unsure: bool | None = option(None, "Switch with three states.", group="B")
    colour: Colour = option(Colour.RED, "Colour.", group="B")
    order: Literal[1, 2, 3] = option(1, "Order.", group="B")
    names: list[str] = option([], "Names.", group="B")
    pair: tuple[int, int] = option((1, 2), "Pair.", group="B")
    files: tuple[Path, ...] = option((), "Files.", group="B")
    device: float | Literal["auto"] = option("auto", "Number or word.", group="B")
    origin: str = Field("x", alias="from", description="Aliased.", json_schema_extra={"group": "B"})


def given(text: str) -> dict[str, Any]:
    values, _ = parse(model_parser("x", "", Options), shlex.split(text))
    return validated(Options, values).model_dump(exclude_unset=True)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("--number 3 --maybe 2.5", {"number": 3, "maybe": 2.5}),
        ("--maybe -1e3", {"maybe": -1000.0}),
        ("--maybe=-.5", {"maybe": -0.5}),
        ("--flag", {"flag": True}),
        ("--no-flag --no-unsure", {"flag": False, "unsure": False}),
        ("--colour blue", {"colour": Colour.BLUE}),
        ("--names a b --names c", {"names": ["a", "b", "c"]}),
        ("--pair -3 4", {"pair": (-3, 4)}),
        ("--files a.mrc b/c.mrc", {"files": (Path("a.mrc"), Path("b/c.mrc"))}),
        ("--device auto", {"device": "auto"}),
        ("--device 2", {"device": 2.0}),
        ("--from y", {"origin": "y"}),
    ],
)
def test_words_become_values(text: str, values: dict[str, Any]) -> None:
    assert given(text) == values


def test_help_has_groups_units_defaults_and_labels(fake: ModuleType) -> None:
    text = job_parser(get_job("count")).format_help()
    assert text.startswith("usage: napari-subtomo count [OPTION ...]\n\nCount to a number, and write it down.\n")
    assert text.index("I/O:") < text.index("Counting:") < text.index("Output:") < text.index("Messages:")
    flat = " ".join(text.split())
    assert "--steps px How far. [default 5 px; ‘Number of steps’]" in flat
    assert "--sleep s Time for each step; 100 % of it is wasted. [default 0 s]" in flat
    assert "--from {tomogram,images} From what. [default tomogram]" in flat
    assert "--centre Å Å Å" in flat and "--keep N ..." in flat and "--[no-]align A switch. [default yes]" in flat
    assert "-o, --output DIR" in flat and "--project DIR" in flat


def test_a_record_can_be_written_as_a_command_line_and_parsed_again(fake: ModuleType) -> None:
    options = fake.CountOptions(steps=3, keep=(1, 3), align=False, source="images", centre=(-1, 0.5, 2), particles=Path("a b.star"))
    words = command_words("count", fake.CountOptions, options.model_dump(mode="json", by_alias=True))
    values, _ = parse(job_parser(get_job("count")), words[1:])
    assert validated(fake.CountOptions, values) == options


LINES = """
extract     --tomograms tomograms.star --particles particles.star --box-size 48 --binning 1 -o Extract/job002
extract     --from tomogram --no-invert --no-normalize --tomogram-ctf phase-flipped \
            --format relion31 --optimisation-set o.star --box-size 48
reconstruct --particles Extract/job002/particles.star -o Reconstruct/job003
classify    --particles Extract/job002/particles.star --reference Reconstruct/job003/merged.mrc --classes 3 --iterations 15 \
            --mask-diameter 380 --initial-lowpass 60 --symmetry C1 --angular-step 7.5 --local-range 15 --offset-range 3 --offset-step 1 \
            --no-align --regularisation 2 --device cuda:0 --threads 2 --seed 1 -o Class3D/job004
select      --optimiser Class3D/job004/run_it015_optimiser.star --keep 1 3 -o Select/job005
remove-duplicates --particles Select/job005/particles.star --min-distance 100 -o Select/job006
remove-duplicates --optimisation-set o.star --min-distance 100 --score rlnMaxValueProbDistribution --rule relion
table       file.star particles rlnClassNumber rlnTomoName
table       file.star --iterations
simulate    sample --map a.mrc b.mrc --snr 0.05 --seed 3
pick        --optimisation-set o.star --sphere t1,1,2,3,4 t1,-5,6,7,8 --spacing 60 --seed 2
"""


@pytest.mark.parametrize("line", [line for line in LINES.replace("\\\n", "").splitlines() if line])
def test_the_lines_of_the_manual_are_understood(line: str) -> None:
    name, *words = shlex.split(line)
    spec = JOBS[name]
    values, names = parse(job_parser(spec), words)
    options = validated(spec.model, values)
    assert options.model_fields_set
    if "-o" in words:
        assert names._output == words[-1]


@pytest.mark.parametrize("name", JOBS)
def test_every_option_has_help_and_no_flag_is_taken_twice(name: str) -> None:
    model = JOBS[name].model
    for field, info in model.model_fields.items():
        assert info.description, f"{name}: {field} has no help"
    assert job_parser(JOBS[name]).format_usage()


def test_options_of_large_sets_and_of_noise_are_flags_of_classify() -> None:
    words = shlex.split("--reference a.mrc --mask-diameter 200 --fast-subsets --noise-by tomogram")
    values, _ = parse(job_parser(get_job("classify")), [*words, "--particles", "p.star"])
    options = validated(get_job("classify").model, values)
    assert (options.fast_subsets, options.noise_by, options.iterations) == (True, "tomogram", 25)
