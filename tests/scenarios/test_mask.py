"""`softnet mask`: what is read as what, the picture, and CPUs that are not there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ConfigError
from emu.numa import node_masks, node_of
from scenarios.cli import main
from scenarios.mask_picture import picture_of, spelling_of, told_nodes


@pytest.mark.parametrize(
    ("text", "spelling", "cpus"),
    [
        ("0-3,8-11", "list", [0, 1, 2, 3, 8, 9, 10, 11]),
        ("0xf0f", "mask", [0, 1, 2, 3, 8, 9, 10, 11]),
        ("f0f", "mask", [0, 1, 2, 3, 8, 9, 10, 11]),
        ("3,00000000", "mask", [32, 33]),
        ("1f,00000001", "mask", [0, 32, 33, 34, 35, 36]),
        ("10", "list", [10]),
        ("0x10", "mask", [4]),
        ("0,4", "list", [0, 4]),
        ("0-7:1/2", "list", [0, 2, 4, 6]),
        ("0", "list", [0]),
        ("0x0", "mask", []),
    ],
)
def test_a_text_is_a_mask_or_a_list(text: str, spelling: str, cpus: list[int]) -> None:
    document = picture_of(text).document()
    assert (document["read_as"], document["cpus"]) == (spelling, cpus)


def test_a_mask_is_printed_as_wide_as_the_machine() -> None:
    assert picture_of("0", 2).document()["mask"] == "1"
    assert picture_of("0", 40).document()["mask"] == "00,00000001"
    assert picture_of("0", 64).document()["mask"] == "00000000,00000001"


@given(st.integers(1, 300).flatmap(lambda cpus: st.tuples(st.just(cpus), st.integers(0, 2**cpus - 1))))
def test_a_mask_goes_to_a_list_and_back(case: tuple[int, int]) -> None:
    cpus, mask = case
    picture = picture_of(f"0x{mask:x}" if cpus <= 32 else f"0x{_groups(mask)}", cpus)
    assert picture.mask == mask
    document = picture.document()
    if mask:
        assert picture_of(document["list"], cpus).mask == mask
    assert picture_of("0x" + document["mask"], cpus).mask == mask


def _groups(mask: int) -> str:
    digits = f"{mask:x}"
    digits = digits.zfill(-(-len(digits) // 8) * 8)
    return ",".join(digits[at : at + 8] for at in range(0, len(digits), 8))


@given(st.integers(1, 300).flatmap(lambda cpus: st.tuples(st.just(cpus), st.integers(1, min(cpus, 8)))))
def test_nodes_are_blocks_that_share_all_cpus_evenly(case: tuple[int, int]) -> None:
    cpus, nodes = case
    masks = node_masks(cpus, nodes)
    assert sum(masks) == (1 << cpus) - 1
    sizes = [mask.bit_count() for mask in masks]
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1
    numbers = [node_of(cpu, cpus, nodes) for cpu in range(cpus)]
    assert numbers == sorted(numbers)


def test_each_node_tells_how_many_of_its_cpus_are_in_the_set() -> None:
    picture = picture_of("0-3,8-11", 16, 2)
    assert [node["count"] for node in picture.document()["nodes"]] == [4, 4]
    lines = picture.lines()
    assert "node 1   4 of its 8, CPUs 8-15: 8-11" in lines
    assert "node 0     0 #### ...." in lines


def test_nodes_can_be_told_cpu_by_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", "0-3,16-17", "--nodes", "0-7,16-23", "--nodes", "8-15,24-31"]) == 0
    said = capsys.readouterr().out
    assert "node 0   6 of its 16, CPUs 0-7,16-23: 0-3,16-17\n" in said
    assert "node 0     0 #### ....\n          16 ##.. ....\n" in said
    assert told_nodes(["0-31:1/2", "1-31:1/2"]) == [0x55555555, 0xAAAAAAAA]
    assert len(picture_of("0", 32, [0x55555555, 0xAAAAAAAA]).lines()) == 11


def test_what_could_be_the_other_spelling_says_so() -> None:
    assert any("as a mask, 0x10, it would be CPU 4" in line for line in picture_of("10").lines())
    assert not any("would be" in line for line in picture_of("0-3").lines())


def test_many_equal_rows_are_left_out() -> None:
    assert len(picture_of("0-8191", 8192, 2).lines()) < 20


@pytest.mark.parametrize(
    ("text", "cpus", "words"),
    [
        ("0-3,9", 8, "there is no CPU 9, this machine has 0-7: the nearest is 0-3"),
        ("f0f", 8, "there are no CPUs 8-11, this machine has 0-7: the nearest is 0f (CPUs 0-3)"),
        ("9", 8, "there is no CPU 9, this machine has 0-7: the nearest is 0-7"),
        ("hello", 8, "'h' in place of a CPU number"),
        ("0x3,0-1", 64, "is no hexadecimal digit"),
        ("5-2", 8, "runs backwards"),
        ("99999999999", 8, "does not fit 32 bits"),
    ],
)
def test_a_cpu_that_is_not_there_is_told_with_what_is(text: str, cpus: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        picture_of(text, cpus)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40), st.integers(1, 200))
def test_any_text_is_a_picture_or_one_sentence(text: str, cpus: int) -> None:
    said: str | None = None
    picture = None
    try:
        picture = picture_of(text, cpus)
    except ConfigError as error:
        said = str(error)
    if picture is None:
        assert said is not None and said.isprintable()
    else:
        assert picture.mask < 1 << cpus
        assert picture.lines()
    assert spelling_of(text) in ("mask", "list")


def test_the_command_takes_a_scenarios_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", "0xf0f", "--scenario", "cpus-64", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["machine_cpus"] == 64
    assert [node["count"] for node in document["nodes"]] == [8, 0]
    assert main(["mask", "0-3"]) == 0
    assert capsys.readouterr().out.startswith("mask     f\nlist     0-3\n")


@pytest.mark.parametrize(
    "words",
    [
        ["0-3", "--cpus", "2"],
        ["0-3", "--cpus", "0"],
        ["0-3", "--nodes", "0"],
        ["0-3", "--nodes", "0-3", "--nodes", "3-7"],
        ["0-3", "--nodes", "0-3", "--nodes", "4-7", "--cpus", "4"],
        ["0-3", "--nodes", "0-3", "--nodes", ""],
        ["0-3", "--cpus", "4", "--nodes", "5"],
        ["0-3", "--scenario", "rfs", "--cpus", "4"],
        ["0-3", "--scenario", "no-such"],
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mask", *words]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err.startswith("softnet: ") and said.err.count("\n") == 1
