"""CPU masks and lists: laws over all widths, and what a 2-CPU kernel said to each text."""

from errno import EINVAL, EOVERFLOW, ERANGE, errorcode
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.cpumask import cpus_of, format_list, format_mask, keep_housekeeping, mask_of, parse_list, parse_mask
from emu.errors import ControlError


@st.composite
def masks(draw: st.DrawFn) -> tuple[int, int]:
    nr_cpus = draw(st.integers(1, 256))
    return draw(st.integers(0, (1 << nr_cpus) - 1)), nr_cpus


@given(masks())
def test_a_mask_reads_back_as_it_was_printed(case: tuple[int, int]) -> None:
    mask, nr_cpus = case
    assert parse_mask(format_mask(mask, nr_cpus), nr_cpus) == mask
    assert parse_mask(format_mask(mask, nr_cpus) + "\n", nr_cpus) == mask


@given(masks())
def test_a_list_reads_back_as_it_was_printed(case: tuple[int, int]) -> None:
    mask, nr_cpus = case
    assert parse_list(format_list(mask, nr_cpus), nr_cpus) == mask


@given(masks())
def test_a_printed_mask_is_as_wide_as_the_machine_and_grouped_by_eight(case: tuple[int, int]) -> None:
    mask, nr_cpus = case
    left, *others = format_mask(mask, nr_cpus).split(",")
    assert all(len(group) == 8 for group in others)
    assert len(left) + 8 * len(others) == (nr_cpus + 3) // 4
    assert len(others) == (nr_cpus - 1) // 32


@given(masks())
def test_a_printed_list_names_each_cpu_once_ascending_in_runs_that_do_not_touch(case: tuple[int, int]) -> None:
    mask, nr_cpus = case
    text = format_list(mask, nr_cpus)
    ends = [tuple(map(int, part.split("-"))) for part in text.split(",")] if text else []
    assert mask_of(cpu for end in ends for cpu in range(end[0], end[-1] + 1)) == mask
    assert all(before[-1] + 1 < after[0] for before, after in pairwise(ends))
    assert mask_of(cpus_of(mask)) == mask
    assert cpus_of(mask) == sorted(cpus_of(mask))


@pytest.mark.parametrize(
    ("mask", "nr_cpus", "text"),
    [
        (3, 2, "3"),
        (0, 2, "0"),
        (0xF, 5, "0f"),
        (2**64 - 1, 64, "ffffffff,ffffffff"),
        (0, 64, "00000000,00000000"),
        (1, 33, "0,00000001"),
        (1 << 39, 40, "80,00000000"),
        (1, 32, "00000001"),
    ],
)
def test_masks_print_at_the_width_of_the_machine(mask: int, nr_cpus: int, text: str) -> None:
    assert format_mask(mask, nr_cpus) == text


def test_a_mask_wider_than_the_machine_cannot_be_printed() -> None:
    with pytest.raises(ValueError):
        format_mask(4, 2)
    with pytest.raises(ValueError):
        format_list(-1, 2)


def answer(text: str, nr_cpus: int = 2) -> int | str:
    try:
        return parse_mask(text, nr_cpus)
    except ControlError as error:
        return errorcode[error.errno]


def list_answer(text: str, nr_cpus: int = 2) -> int | str:
    try:
        return parse_list(text, nr_cpus)
    except ControlError as error:
        return errorcode[error.errno]


# Written to rps_cpus of lo on a 2-CPU machine, Linux 6.18.
@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("3", 3),
        ("3\n", 3),
        ("\n", 0),
        (" 3 ", 3),
        ("3\n\n", 3),
        ("3\n4", 3),
        ("0,\n3", 0),
        (",3", 3),
        ("3,", 3),
        ("3 ,", 3),
        (", 3", 3),
        (" ", 0),
        ("3\0", 3),
        ("3\v", 3),
        ("00000003", 3),
        ("x00000003", 3),
        ("g00000001", 1),
        ("0x3", "EINVAL"),
        ("g", "EINVAL"),
        ("-1", "EINVAL"),
        ("3-", "EINVAL"),
        ("4", "EOVERFLOW"),
        ("f", "EOVERFLOW"),
        ("000000003", "EOVERFLOW"),
        ("100000003", "EOVERFLOW"),
        ("123456789", "EOVERFLOW"),
        ("0,3", "EOVERFLOW"),
        ("0,,3", "EOVERFLOW"),
        ("3 0", "EOVERFLOW"),
        ("0 ,3", "EOVERFLOW"),
        ("0x00000003", "EOVERFLOW"),
        ("0,100000003", "EOVERFLOW"),
    ],
)
def test_a_mask_is_taken_or_refused_as_a_2_cpu_kernel_did(text: str, kernel: int | str) -> None:
    assert answer(text) == kernel


def test_wider_machines_take_short_groups_and_fewer_groups() -> None:
    assert answer("1,2", 64) == (1 << 32) | 2
    assert answer("f", 64) == 0xF
    assert answer("ff,00000000", 40) == 0xFF << 32
    assert answer("100,00000000", 40) == "EOVERFLOW"


# Written to /proc/irq/24/smp_affinity_list on a 2-CPU machine, Linux 6.18.
@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("0-1", 3),
        ("0-1\n", 3),
        ("2", "ERANGE"),
        ("0-2", "ERANGE"),
        ("2-3", "ERANGE"),
        ("0-5:1/2", "ERANGE"),
        ("x", "EINVAL"),
        ("1-0", "EINVAL"),
        ("0-1:2/1", "EINVAL"),
        ("0-1:0/0", "EINVAL"),
        ("0-N:1", "EINVAL"),
        ("-1", "EINVAL"),
        ("0-", "EINVAL"),
        ("0x1", "EINVAL"),
        ("all:", "EINVAL"),
        ("0-1;", "EINVAL"),
        ("none", "EINVAL"),
        ("99999999999", "EOVERFLOW"),
        ("4294967296", "EOVERFLOW"),
    ],
)
def test_a_list_is_taken_or_refused_as_a_2_cpu_kernel_did(text: str, kernel: int | str) -> None:
    assert list_answer(text) == kernel


def test_a_stride_takes_the_first_cpus_of_each_group() -> None:
    assert cpus_of(parse_list("0-3,8,10-20:2/4", 32)) == [0, 1, 2, 3, 8, 10, 11, 14, 15, 18, 19]
    assert cpus_of(parse_list("0-1023:2/256", 1024)) == [0, 1, 256, 257, 512, 513, 768, 769]
    assert cpus_of(parse_list("all:1/2", 6)) == [0, 2, 4]
    assert cpus_of(parse_list("4-N", 6)) == [4, 5]
    assert list_answer("2:1/2", 6) == "EINVAL"  # only a range is divided


def test_a_newline_ends_a_list_but_may_lead_it() -> None:
    assert list_answer("0\n1") == 1
    assert list_answer("\n1") == 2
    assert list_answer("") == 0


def test_a_refused_mask_names_the_highest_cpu_and_the_accepted_form() -> None:
    with pytest.raises(ControlError) as refused:
        parse_mask("30", 4)
    assert refused.value.errno == EOVERFLOW
    assert "CPU 5" in str(refused.value)
    assert "highest CPU is 3" in str(refused.value)
    assert "from 0 to f" in str(refused.value)
    with pytest.raises(ControlError) as refused:
        parse_list("1,7", 4)
    assert refused.value.errno == ERANGE
    assert "CPU 7" in str(refused.value)
    assert "highest CPU is 3" in str(refused.value)


def test_isolated_cpus_leave_a_mask_and_a_wholly_isolated_mask_is_refused() -> None:
    assert keep_housekeeping(0b1110, 0b0111) == 0b0110
    assert keep_housekeeping(0, 0b0111) == 0
    with pytest.raises(ControlError) as refused:
        keep_housekeeping(0b1000, 0b0111)
    assert refused.value.errno == EINVAL


@given(st.text(max_size=40) | st.text("0123456789abcdefx,-:/N \n", max_size=40), st.integers(1, 130))
def test_no_text_raises_anything_but_a_control_error_and_every_mask_fits(text: str, nr_cpus: int) -> None:
    for parsed in (answer(text, nr_cpus), list_answer(text, nr_cpus)):
        if isinstance(parsed, int):
            assert 0 <= parsed < 1 << nr_cpus
        else:
            assert parsed in {"EINVAL", "EOVERFLOW", "ERANGE"}


def test_numbers_of_thousands_of_digits_are_refused_like_any_other() -> None:
    assert list_answer("9" * 5000) == "EOVERFLOW"
    assert list_answer("0" * 5000 + "1") == 2
    assert answer("f" * 5000) == "EOVERFLOW"
