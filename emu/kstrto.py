"""Numbers and switches in the kernel's grammars for text.

Models: proc_dointvec_minmax for sysctls, kstrtoul for most numbers of /sys, kstrtobool for switches. Texts come less
one final newline.
Leaves out: what a kernel keeps of a vector with a bad number in it.
Source: Linux 6.9, kernel/sysctl.c and lib/kstrtox.c, and writes to a real 6.18.
"""

from errno import EINVAL, ERANGE
from typing import Final

from emu.errors import ControlError

INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1
ULONG_MAX: Final = 2**64 - 1

_DIGITS: Final = "0123456789"
_HEX_DIGITS: Final = "0123456789abcdef"
_SPACE: Final = " \t\n\v\f\r"
_TOKEN_CHARACTERS_MAX: Final = 20  # proc_dointvec copies 21 characters and refuses a number that fills them


def parse_int(text: str, minimum: int = INT_MIN, maximum: int = INT_MAX) -> int:
    """Return the number proc_dointvec_minmax reads: decimal, 0x hexadecimal or 0 octal, at most 20 characters.

    White space may lead; a blank, tab or newline must follow, and what comes after that is not looked at.
    ControlError EINVAL for anything else and out of range.
    """
    return _token(text, 0, max(minimum, INT_MIN), min(maximum, INT_MAX))[0]


def parse_number(text: str, minimum: int = 0, maximum: int = ULONG_MAX) -> int:
    """Return the number proc_doulongvec_minmax reads: the grammar of `parse_int`, 64 bits. A kernel ignores a negative one; here EINVAL."""
    return _token(text, 0, minimum, maximum)[0]


def parse_ints(text: str, count: int, minimum: int = INT_MIN, maximum: int = INT_MAX) -> list[int]:
    """Return what proc_dointvec_minmax reads into a vector of `count`: 1 to `count` numbers, each as `parse_int` has it.

    ControlError EINVAL if one of them is bad. (A kernel keeps those before it; here none is.)
    """
    values: list[int] = []
    position = 0
    while len(values) < count and (not values or text[position:].strip(_SPACE)):
        value, position = _token(text, position, max(minimum, INT_MIN), min(maximum, INT_MAX))
        values.append(value)
    return values


def parse_unsigned(text: str, minimum: int = 0, maximum: int = ULONG_MAX) -> int:
    """Return the number kstrtoul reads: an optional ``+`` and digits (0x and 0 as in C), no white space.

    ControlError EINVAL for anything else and out of range; ERANGE beyond 64 bits.
    """
    text = text.partition("\0")[0]
    start = int(text.startswith("+"))
    value, end = _scan(text, start)
    if end == start or end < len(text):
        raise ControlError(EINVAL, f"{_quote(text)} is {_why(False)}: {_number_form(minimum, maximum)}")
    if value > ULONG_MAX:
        raise ControlError(ERANGE, f"{_quote(text)} does not fit 64 bits: {_number_form(minimum, maximum)}")
    if not minimum <= value <= maximum:
        raise ControlError(EINVAL, f"{_quote(text)} is {_why(True)}: {_number_form(minimum, maximum)}")
    return value


def parse_bool(text: str) -> bool:
    """Return what kstrtobool reads: the first character of y t 1, n f 0, or the first two of on, off, in any case."""
    start = text[:1]
    if (start and start in "yYtT1") or text[:2] in ("on", "oN", "On", "ON"):
        return True
    if (start and start in "nNfF0") or text[:2] in ("of", "oF", "Of", "OF"):
        return False
    raise ControlError(EINVAL, f"{_quote(text)} is neither on nor off: write 1 or 0 (or y, n, on, off)")


def _token(text: str, start: int, minimum: int, maximum: int) -> tuple[int, int]:
    """The number of proc_get_long at `start`, white space before it, and where it ends. ControlError EINVAL."""
    while start < len(text) and text[start] in _SPACE:
        start += 1
    negative = text[start : start + 1] == "-"
    value, end = _scan(text, start + negative)
    is_number = (
        end > start + negative and end - start <= _TOKEN_CHARACTERS_MAX and text[end : end + 1] in ("", *" \t\n")
    )
    value = -value if negative else value
    if not is_number or not minimum <= value <= maximum:
        raise ControlError(EINVAL, f"{_quote(text)} is {_why(is_number)}: {_number_form(minimum, maximum)}")
    return value, end


def _scan(text: str, start: int) -> tuple[int, int]:
    """Return the number of C's base 0 at ``start``, capped above 64 bits, and where it ends (``start`` if none)."""
    base, digits, position = 10, _DIGITS, start
    if text[start : start + 1] == "0":
        following = text[start + 1 : start + 3].lower()
        if following[:1] == "x" and following[1:] and following[1:] in _HEX_DIGITS:
            base, digits, position = 16, _HEX_DIGITS, start + 2
        else:
            base, digits = 8, _DIGITS[:8]
    value = 0
    while position < len(text):
        digit = digits.find(text[position].lower())
        if digit < 0:
            break
        # One bit above the cap keeps a number of any length in constant space.
        value = min(value * base + digit, 2**65)
        position += 1
    return value, position


def _why(is_number: bool) -> str:
    return "out of range" if is_number else "no number"


def _number_form(minimum: int, maximum: int) -> str:
    return f"write a number from {minimum} to {maximum}"


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
