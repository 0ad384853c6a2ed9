"""CPU masks and CPU lists in the kernel's two grammars; a mask is a Python int, bit n for CPU n.

Models: what `cpumask_parse` and `cpulist_parse` take and refuse, and what `%*pb` and `%*pbl` print, for a machine
of `nr_cpus` possible CPUs (the kernel's nr_cpu_ids).
Leaves out: nothing; the oddities are the kernel's (a hexadecimal mask takes no `0x` on up to 32 CPUs; the character
left of a full group of eight digits is skipped; in a list only what stands before the end of the line counts).
Source: Linux 6.9, lib/bitmap-str.c, and writes to `rps_cpus` and `smp_affinity_list` of a 2-CPU machine (6.18).
"""

from collections.abc import Iterable
from errno import EINVAL, EOVERFLOW, ERANGE
from typing import Final

from emu.errors import ControlError

_SEPARATOR: Final = " \t\n\v\f\r,"
_HEX: Final = "0123456789abcdefABCDEF"
_DECIMAL: Final = "0123456789"
_GROUP_BITS: Final = 32
_GROUP_DIGITS: Final = 8
_UNSIGNED_INT_MAX: Final = 2**32 - 1


def mask_of(cpus: Iterable[int]) -> int:
    """Return the mask with the bits of ``cpus``."""
    mask = 0
    for cpu in cpus:
        mask |= 1 << cpu
    return mask


def cpus_of(mask: int) -> list[int]:
    """Return the CPUs of ``mask``, ascending: the order in which an RPS map is built (R10)."""
    cpus = []
    while mask:
        lowest = mask & -mask
        cpus.append(lowest.bit_length() - 1)
        mask ^= lowest
    return cpus


def format_mask(mask: int, nr_cpus: int) -> str:
    """Return ``mask`` as the kernel prints it: hexadecimal groups of 32 bits, the left one as wide as it needs to be.

    2 CPUs print ``3``, 40 CPUs ``ff,ffffffff``. No newline. ValueError when a bit lies beyond ``nr_cpus``.
    """
    _check_width(mask, nr_cpus)
    groups = (nr_cpus + _GROUP_BITS - 1) // _GROUP_BITS
    left_bits = nr_cpus - (groups - 1) * _GROUP_BITS
    words = [f"{mask >> (groups - 1) * _GROUP_BITS:0{(left_bits + 3) // 4}x}"]
    for group in range(groups - 2, -1, -1):
        words.append(f"{mask >> group * _GROUP_BITS & 0xFFFFFFFF:08x}")
    return ",".join(words)


def format_list(mask: int, nr_cpus: int) -> str:
    """Return ``mask`` as the kernel prints a list: ``0-3,8``; empty for no CPU. No newline."""
    _check_width(mask, nr_cpus)
    ranges = []
    cpu = 0
    while mask >> cpu:
        rest = mask >> cpu
        first = cpu + (rest & -rest).bit_length() - 1
        run = mask >> first
        cpu = first + (~run & (run + 1)).bit_length() - 1
        ranges.append(f"{first}" if cpu == first + 1 else f"{first}-{cpu - 1}")
    return ",".join(ranges)


def parse_mask(text: str, nr_cpus: int) -> int:
    """Return the mask that a write of ``text`` sets; empty text is the empty mask.

    Groups of up to 32 bits, separated by commas or white space, are read from the right, up to the first newline.
    ControlError EINVAL for what is no hexadecimal digit; EOVERFLOW for a group of more than eight digits, for more
    groups than the machine has, and for a CPU beyond the last.
    """
    line = _until(text, "\n\0")
    groups = (nr_cpus + _GROUP_BITS - 1) // _GROUP_BITS
    mask = 0
    group = 0
    end = len(line)
    while True:
        while end and line[end - 1] in _SEPARATOR:
            end -= 1
        if not end:
            break
        if group == groups:
            raise ControlError(
                EOVERFLOW,
                f"{_quote(line)} has more than {groups} group{'s' * (groups > 1)} of 32 bits, "
                f"but the highest CPU is {nr_cpus - 1}: {_mask_form(nr_cpus)}",
            )
        start = end
        while start and end - start < _GROUP_DIGITS and line[start - 1] in _HEX:
            start -= 1
        full = end - start == _GROUP_DIGITS
        if start == end or (start and line[start - 1] not in _SEPARATOR and not full):
            raise ControlError(
                EINVAL,
                f"{_quote(line)} is no CPU mask, {line[start - 1]!r} is no hexadecimal digit: {_mask_form(nr_cpus)}",
            )
        mask |= int(line[start:end], 16) << group * _GROUP_BITS
        if full and start and line[start - 1] not in _SEPARATOR:
            if line[start - 1] in _HEX:
                raise ControlError(
                    EOVERFLOW, f"{_quote(line)} has a group of more than 8 digits: {_mask_form(nr_cpus)}"
                )
            # The kernel looks at the character left of a full group only to see whether it is a digit, and drops it.
            start -= 1
        end = start
        group += 1
    if mask >> nr_cpus:
        raise ControlError(
            EOVERFLOW,
            f"{_quote(line)} names CPU {mask.bit_length() - 1}, but the highest CPU is {nr_cpus - 1}: "
            f"{_mask_form(nr_cpus)}",
        )
    return mask


def parse_list(text: str, nr_cpus: int) -> int:
    """Return the mask of a CPU list: ``0-3,8``, ``0-7:2/4`` (the first 2 of each 4), ``N`` for the last CPU, ``all``.

    Separators are commas and white space; a newline after a CPU or a range ends the list.
    ControlError EINVAL for anything else; ERANGE for a CPU beyond the last; EOVERFLOW for a number beyond 32 bits.
    """
    line = _until(text, "\0")
    mask = 0
    position = 0
    while True:
        while position < len(line) and line[position] in _SEPARATOR:
            position += 1
        if position == len(line):
            return mask
        start = position
        if line[position : position + 3].lower() == "all" and line[position : position + 3].isascii():
            first, last = 0, nr_cpus - 1
            position += 3
            is_range = True
        else:
            first, position = _number(line, position, nr_cpus)
            last = first
            is_range = position < len(line) and line[position] not in _SEPARATOR
            if is_range:
                position = _expect("-", line, position, nr_cpus)
                last, position = _number(line, position, nr_cpus)
        used = group = last + 1
        is_strided = is_range and position < len(line) and line[position] not in _SEPARATOR
        if is_strided:
            position = _expect(":", line, position, nr_cpus)
            used, position = _number(line, position, nr_cpus)
            position = _expect("/", line, position, nr_cpus)
            group, position = _number(line, position, nr_cpus)
        region = line[start:position]
        if first > last:
            raise ControlError(EINVAL, f"{_quote(region)} runs backwards: {_list_form(nr_cpus)}")
        if group == 0 or used > group:
            raise ControlError(
                EINVAL, f"{_quote(region)} asks for {used} CPUs of each group of {group}: {_list_form(nr_cpus)}"
            )
        if last >= nr_cpus:
            raise ControlError(
                ERANGE,
                f"{_quote(region)} names CPU {last}, but the highest CPU is {nr_cpus - 1}: {_list_form(nr_cpus)}",
            )
        for cpu in range(first, last + 1, group):
            mask |= ((1 << min(used, last - cpu + 1)) - 1) << cpu
        if not is_strided and position < len(line) and line[position] == "\n":
            return mask


def keep_housekeeping(mask: int, housekeeping: int) -> int:
    """Return ``mask`` without isolated CPUs, as RPS masks are kept (R10).

    ControlError EINVAL when only isolated CPUs were asked for; an empty mask stays empty.
    """
    kept = mask & housekeeping
    if mask and not kept:
        raise ControlError(
            EINVAL,
            f"all CPUs of the mask ({format_list(mask, mask.bit_length())}) are isolated: "
            f"name one of {format_list(housekeeping, max(1, housekeeping.bit_length())) or 'no CPU'}, or 0 for none",
        )
    return kept


def _number(line: str, position: int, nr_cpus: int) -> tuple[int, int]:
    """Return the decimal number at ``position``, ``N`` being the last CPU, and where it ends."""
    if line[position : position + 1] == "N":
        return nr_cpus - 1, position + 1
    end = position
    while end < len(line) and line[end] in _DECIMAL:
        end += 1
    if end == position:
        found = repr(line[position]) if position < len(line) else "the end"
        raise ControlError(EINVAL, f"{_quote(line)} has {found} in place of a CPU number: {_list_form(nr_cpus)}")
    digits = line[position:end].lstrip("0") or "0"
    # Ten digits hold every 32-bit number; int() itself refuses texts of thousands of digits.
    if len(digits) > 10 or int(digits) > _UNSIGNED_INT_MAX:
        raise ControlError(
            EOVERFLOW,
            f"{_quote(digits)} does not fit 32 bits, and the highest CPU is {nr_cpus - 1}: {_list_form(nr_cpus)}",
        )
    return int(digits), end


def _expect(sign: str, line: str, position: int, nr_cpus: int) -> int:
    found = line[position : position + 1]
    if found != sign:
        raise ControlError(
            EINVAL,
            f"{_quote(line)} has {repr(found) if found else 'its end'} in place of {sign!r}: {_list_form(nr_cpus)}",
        )
    return position + 1


def _until(text: str, ends: str) -> str:
    for position, character in enumerate(text):
        if character in ends:
            return text[:position]
    return text


def _quote(text: str) -> str:
    """Return ``text`` for a message: quoted, control characters escaped, not longer than a line."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _mask_form(nr_cpus: int) -> str:
    every = format_mask((1 << nr_cpus) - 1, nr_cpus)
    return f"write a hexadecimal mask from 0 to {every if len(every) <= 40 else every[:35] + '...'}"


def _list_form(nr_cpus: int) -> str:
    return f"write CPUs from 0 to {nr_cpus - 1} as 0-{nr_cpus - 1}, 0,{nr_cpus - 1} or 0-{nr_cpus - 1}:1/2"


def _check_width(mask: int, nr_cpus: int) -> None:
    if mask < 0 or mask >> nr_cpus:
        raise ValueError(f"mask {mask:#x} does not fit {nr_cpus} CPUs")
