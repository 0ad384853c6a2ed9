"""Numbers and switches: what a real kernel (6.18) took and refused."""

from collections.abc import Callable
from errno import EINVAL, ERANGE, errorcode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.errors import ControlError
from emu.kstrto import INT_MAX, INT_MIN, ULONG_MAX, parse_bool, parse_int, parse_ints, parse_number, parse_unsigned


def int_answer(text: str) -> int | str:
    try:
        return parse_int(text)
    except ControlError as error:
        return errorcode[error.errno]


def unsigned_answer(text: str) -> int | str:
    try:
        return parse_unsigned(text)
    except ControlError as error:
        return errorcode[error.errno]


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("300", 300),
        ("300 ", 300),
        ("  300", 300),
        ("\v5", 5),
        ("\f 5", 5),
        ("5\t", 5),
        ("300\n", 300),
        ("10\n20", 10),
        ("300 7", 300),
        ("300 junk", 300),
        ("0x12c", 300),
        ("0X10", 16),
        ("0300", 192),
        ("-0", 0),
        ("-5", -5),
        ("00000000000000000004", 4),
        ("2147483647", INT_MAX),
        ("-2147483648", INT_MIN),
        ("000000000000000000004", "EINVAL"),
        ("2147483648", "EINVAL"),
        ("-2147483649", "EINVAL"),
        ("99999999999", "EINVAL"),
        ("08", "EINVAL"),
        ("+300", "EINVAL"),
        ("300x", "EINVAL"),
        ("300,7", "EINVAL"),
        ("1\x002", "EINVAL"),
        ("5\v", "EINVAL"),
        ("5\r", "EINVAL"),
        ("- 5", "EINVAL"),
        ("0x", "EINVAL"),
        ("x", "EINVAL"),
        ("-", "EINVAL"),
        ("", "EINVAL"),
        (" ", "EINVAL"),
    ],
)
def test_sysctl_integers_are_read_as_the_kernel_reads_them(text: str, kernel: int | str) -> None:
    assert int_answer(text) == kernel


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("64", 64),
        ("+64", 64),
        ("0x40", 64),
        ("0100", 64),
        ("64\0", 64),
        ("18446744073709551615", ULONG_MAX),
        ("18446744073709551616", "ERANGE"),
        (" 64", "EINVAL"),
        ("64 ", "EINVAL"),
        ("64\n", "EINVAL"),  # with the newline that the tree takes off: two
        ("-1", "EINVAL"),
        ("64x", "EINVAL"),
        ("0x", "EINVAL"),
        ("", "EINVAL"),
        ("+", "EINVAL"),
    ],
)
def test_sysfs_numbers_take_no_white_space(text: str, kernel: int | str) -> None:
    assert unsigned_answer(text) == kernel


@given(st.integers(INT_MIN, INT_MAX))
def test_every_32_bit_integer_reads_back_in_each_base(value: int) -> None:
    assert parse_int(str(value)) == value
    assert parse_int(hex(value)) == value
    assert parse_int(("-" if value < 0 else "") + f"0{abs(value):o}") == value


@given(st.text(max_size=30) | st.text("0123456789xX-+ \nabf", max_size=30), st.integers(-5, 5), st.integers(6, 99))
def test_no_text_passes_the_limits_or_raises_anything_but_a_control_error(text: str, low: int, high: int) -> None:
    for parse in (parse_int, parse_unsigned):
        outcome = bounded(parse, text, low, high)
        if isinstance(outcome, int):
            assert low <= outcome <= high
        else:
            assert outcome.errno in (EINVAL, ERANGE)
            assert f"from {low} to {high}" in str(outcome)
            assert "\n" not in str(outcome)


def bounded(parse: Callable[[str, int, int], int], text: str, low: int, high: int) -> int | ControlError:
    try:
        return parse(text, low, high)
    except ControlError as error:
        return error


@pytest.mark.parametrize("text", ["1", "y", "Yes", "t", "on", "ON", "1junk"])
def test_switches_on(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["0", "n", "No", "false", "off", "OFf"])
def test_switches_off(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", " 1", "2", "o", "x", "ok"])
def test_what_is_neither_on_nor_off_is_refused(text: str) -> None:
    with pytest.raises(ControlError, match="write 1 or 0") as refused:
        parse_bool(text)
    assert refused.value.errno == EINVAL


def test_numbers_of_any_length_are_refused_like_any_other() -> None:
    assert int_answer("9" * 10_000) == "EINVAL"
    assert unsigned_answer("9" * 10_000) == "ERANGE"
    assert unsigned_answer("0" * 10_000 + "7") == 7


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4096 131072 6291456", [4096, 131072, 6291456]),
        ("4096\t131072\t6291456\n", [4096, 131072, 6291456]),
        ("  1  0x10 ", [1, 16]),
        ("5", [5]),
        ("1 2 3 4", [1, 2, 3]),
        ("1 2 3 x", [1, 2, 3]),
    ],
)
def test_a_vector_takes_as_many_numbers_as_it_has_room_for(text: str, values: list[int]) -> None:
    assert parse_ints(text, 3, 1) == values


@pytest.mark.parametrize("text", ["", " ", "x", "1,2", "1 x", "1 0", "1 -2", "1 2147483648"])
def test_a_vector_with_a_bad_number_is_refused_whole(text: str) -> None:
    with pytest.raises(ControlError) as refused:
        parse_ints(text, 3, 1)
    assert refused.value.errno == EINVAL


def test_an_unsigned_long_of_a_sysctl_has_64_bits_and_no_sign() -> None:
    assert parse_number(f" {ULONG_MAX} junk") == ULONG_MAX
    for text in (str(ULONG_MAX + 1), "-1", "", "1x"):
        with pytest.raises(ControlError) as refused:
            parse_number(text)
        assert refused.value.errno == EINVAL
