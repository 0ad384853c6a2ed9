"""A set of CPUs in both of the kernel's spellings, and where its CPUs lie: what `softnet mask` shows.

Which spelling a text is in: a mask begins with `0x`, has a hexadecimal letter, or a group of eight digits behind a comma; all else
is a list (`10` is CPU 10; `0x10` is CPU 4).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from emu.cpumask import cpus_of, format_list, format_mask, parse_list, parse_mask
from emu.errors import ConfigError, ControlError
from emu.numa import node_masks

MAX_CPUS: Final = 8192
"""NR_CPUS of the largest x86 kernels; a machine that softnet runs has fewer."""

MAX_NODES: Final = 1024
"""MAX_NUMNODES of the same."""

SCHEMA_VERSION: Final = 1
_HEX_LETTER: Final = re.compile(r"(?i)[0-9a-f]*[a-f]")
_FULL_GROUP: Final = re.compile(r"(?i)[0-9a-f]{1,8}(,[0-9a-f]{8})+")
_ROW_CPUS: Final = 64
_MAX_RUNS: Final = 8
"""A node of more runs of neighbours than this (every other CPU, say) is shown as one."""

Spelling = Literal["mask", "list"]


@dataclass(frozen=True, slots=True)
class MaskPicture:
    """CPUs of `mask` on a machine of `cpus` CPUs, of which each node has those of a mask in `nodes`; `read_as` is how the
    text was taken."""

    mask: int
    cpus: int
    nodes: tuple[int, ...]
    read_as: Spelling
    otherwise: str = ""
    """What the text would mean in the other spelling, if it could be that too."""

    def node_parts(self) -> list[tuple[int, int]]:
        """Per node: the mask of its CPUs, and the part of them that is in the set."""
        return [(whole, whole & self.mask) for whole in self.nodes]

    def lines(self) -> list[str]:
        """The picture, for people."""
        count = self.mask.bit_count()
        text = [
            f"mask     {format_mask(self.mask, self.cpus)}",
            f"list     {format_list(self.mask, self.cpus) or '(no CPU)'}",
            f"CPUs     {count} of {self.cpus}  (read as a {self.read_as}{self.otherwise})",
        ]
        parts = self.node_parts()
        for node, (whole, inside) in enumerate(parts):
            words = f"node {node:<3} {inside.bit_count()} of its {whole.bit_count()}, CPUs "
            text.append(
                words + format_list(whole, self.cpus) + (f": {format_list(inside, self.cpus)}" if inside else "")
            )
        text.append("")
        for node, (whole, _) in enumerate(parts):
            text += self._rows(node, cpus_of(whole))
        text += [
            "",
            "rps_cpus, smp_affinity and flow_limit_cpu_bitmap take the mask, a group of eight digits for each 32 CPUs;",
            "smp_affinity_list, taskset -c and isolcpus= take the list",
        ]
        return text

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "schema_version": SCHEMA_VERSION,
            "read_as": self.read_as,
            "mask": format_mask(self.mask, self.cpus),
            "list": format_list(self.mask, self.cpus),
            "cpus": cpus_of(self.mask),
            "count": self.mask.bit_count(),
            "machine_cpus": self.cpus,
            "nodes": [
                {
                    "node": node,
                    "machine_cpus": format_list(whole, self.cpus),
                    "mask": format_mask(inside, self.cpus),
                    "list": format_list(inside, self.cpus),
                    "count": inside.bit_count(),
                }
                for node, (whole, inside) in enumerate(self.node_parts())
            ],
        }

    def _rows(self, node: int, cpus: list[int]) -> list[str]:
        """The CPUs of one node, neighbours in rows of 64 in fours: # is in the set. Rows like the one before are left out."""
        starts = [at for at, cpu in enumerate(cpus) if not at or cpu != cpus[at - 1] + 1]
        if len(starts) > _MAX_RUNS:
            starts = [0]
        ends = [*starts[1:], len(cpus)]
        rows: list[str] = []
        last, left_out = "", 0
        for start in [at for first, end in zip(starts, ends, strict=True) for at in range(first, end, _ROW_CPUS)]:
            row = cpus[start : min(start + _ROW_CPUS, next(end for end in ends if end > start))]
            fours = [row[at : at + 4] for at in range(0, len(row), 4)]
            marks = " ".join("".join("#" if self.mask >> cpu & 1 else "." for cpu in four) for four in fours)
            if marks == last:
                left_out += 1
                continue
            if left_out:
                rows.append(f"{'':13}{left_out} more like it")
            last, left_out = marks, 0
            rows.append(f"{f'node {node}' if start == 0 else '':7}{row[0]:>5} {marks}")
        if left_out:
            rows.append(f"{'':13}{left_out} more like it")
        return rows


def picture_of(text: str, cpus: int | None = None, nodes: int | Sequence[int] = 1) -> MaskPicture:
    """Return the picture of the CPUs that `text` names; without `cpus` the machine ends with the highest of them.

    `nodes` is how many nodes of neighbouring CPUs there are, or the mask of each node's CPUs.
    ConfigError for what is neither a mask nor a list, or names a CPU that the machine has not: then with the part that is there.
    """
    if cpus is not None and not 1 <= cpus <= MAX_CPUS:
        raise ConfigError(f"--cpus: there are no machines of {cpus} CPUs here, write 1 to {MAX_CPUS}")
    node_count = nodes if isinstance(nodes, int) else len(nodes)
    if not 1 <= node_count <= MAX_NODES:
        raise ConfigError(f"--nodes: there are no machines of {node_count} nodes here, write 1 to {MAX_NODES}")
    spelling = spelling_of(text)
    width = MAX_CPUS if cpus is None else cpus
    try:
        mask = _parse(text, spelling, width)
    except ControlError as error:
        raise ConfigError(_nearest(text, spelling, width) or f"{error.message}{_other_form(spelling)}") from error
    if cpus is None:
        named = nodes if isinstance(nodes, int) else max(whole.bit_length() for whole in nodes)
        cpus = max(mask.bit_length(), named, 1)
    if isinstance(nodes, int):
        if nodes > cpus:
            raise ConfigError(f"--nodes: {cpus} CPUs make 1 to {cpus} nodes, not {nodes}")
        nodes = node_masks(cpus, nodes)
    beyond = max(whole.bit_length() for whole in nodes)
    if beyond > cpus:
        raise ConfigError(f"--nodes: there is no CPU {beyond - 1}, this machine has 0-{cpus - 1}")
    return MaskPicture(mask, cpus, tuple(nodes), spelling, _otherwise(text) if spelling == "list" else "")


def told_nodes(lists: Sequence[str]) -> int | list[int]:
    """Return what `--nodes` says: how many there are, or the mask of each one's CPUs. ConfigError."""
    if len(lists) == 1 and lists[0].strip().isdecimal() and lists[0].isascii():
        return int(lists[0][:20])
    masks: list[int] = []
    for text in lists:
        try:
            whole = _parse(text, spelling_of(text), MAX_CPUS)
        except ControlError as error:
            raise ConfigError(f"--nodes: {error.message}") from error
        twice = whole & sum(masks)
        if twice or not whole:
            are = f"CPUs {format_list(twice, MAX_CPUS)} are on two nodes" if twice else "a node has no CPU"
            raise ConfigError(f"--nodes: {are}: write each node's own CPUs, as in --nodes 0-7,16-23 --nodes 8-15,24-31")
        masks.append(whole)
    return masks


def spelling_of(text: str) -> Spelling:
    """Return how `text` is to be read."""
    text = text.strip()
    if text[:2].lower() == "0x" or (_HEX_LETTER.match(text.rpartition(",")[2]) and text.lower() != "all"):
        return "mask"
    return "mask" if _FULL_GROUP.fullmatch(text) else "list"


def _parse(text: str, spelling: Spelling, cpus: int) -> int:
    text = text.strip()
    if spelling == "list":
        return parse_list(text, cpus)
    return parse_mask(text[2:] if text[:2].lower() == "0x" else text, cpus)


def _otherwise(text: str) -> str:
    """What a list of bare numbers would be as a mask; empty if it could be none."""
    try:
        mask = parse_mask(text.strip(), MAX_CPUS)
    except ControlError:
        return ""
    named = format_list(mask, MAX_CPUS)
    return f"; as a mask, 0x{text.strip()}, it would be {f'CPU {named}' if named else 'no CPU'}"


def _nearest(text: str, spelling: Spelling, cpus: int) -> str | None:
    """The sentence about CPUs that are not there, if that is what is wrong."""
    try:
        whole = _parse(text, spelling, MAX_CPUS)
    except ControlError:
        return None
    missing, there = whole >> cpus << cpus, whole & ((1 << cpus) - 1)
    if not missing:
        return None  # too many groups of zeros, say
    gone = format_list(missing, MAX_CPUS)
    gone = gone if len(gone) <= 60 else gone[:57] + "..."
    are = "are no CPUs" if missing.bit_count() > 1 else "is no CPU"
    every = f"0-{cpus - 1}" if cpus > 1 else "0"
    nearest = format_list(there, cpus) or every
    if spelling == "mask":
        nearest = f"{format_mask(there or (1 << cpus) - 1, cpus)} (CPUs {nearest})"
    return f"there {are} {gone}, this machine has {every}: the nearest is {nearest}"


def _other_form(spelling: Spelling) -> str:
    return "" if spelling == "mask" else "; a hexadecimal mask begins with 0x"
