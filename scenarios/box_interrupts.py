"""The receive interrupts of an interface, found in a box's /proc/interrupts.

Drivers name their interrupts as they like, so there is a table of names. What fits none of it is no receive interrupt.
Source: drivers/net of Linux 6.9 (the names that request_irq gets); texts of /proc/interrupts that people have published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from scenarios.box_files import BoxFiles

MAX_INTERRUPTS_BYTES: Final = 16 << 20
"""256 CPUs and some thousands of interrupts."""
MAX_IRQ: Final = 1 << 24

_BUS: Final = r"(?P<bus>[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])"
_N: Final = r"(?P<queue>\d{1,4})"

_BY_INTERFACE: Final = (
    rf"(?:(?:ice|i40e|iavf|idpf)-)?IF-TxRx-{_N}",  # ice, i40e, iavf, ixgbe, igb, igc, bnxt_en, ...
    rf"IF-Tx-Rx-{_N}",  # ena
    rf"IF-(?:rxtx|txrx)-{_N}",  # vmxnet3, nfp, octeontx2, tg3
    rf"IF-[Rr]x-?{_N}",  # e1000e, igb, bnxt_en, enic with separate vectors; cxgb4
    rf"IF-fp-{_N}",  # bnx2x, qede
    rf"IF-q{_N}(?:-rx)?",  # be2net, xen-netfront
    rf"IF:rx-{_N}",  # stmmac
    rf"IF-{_N}",  # sfc, atlantic, old mlx
    rf"IF-ntfy-block\.{_N}",  # gve before 6.6
)
_BY_BUS: Final = (
    rf"mlx5_comp{_N}@pci:{_BUS}",
    rf"mlx4-{_N}@{_BUS}",
    rf"mana_q{_N}@pci:{_BUS}",
    rf"hns3-{_BUS}-TxRx-{_N}",
    rf"gve-ntfy-blk{_N}@pci:{_BUS}",
)
_VIRTIO: Final = re.compile(rf"(?P<device>virtio\d{{1,4}})-input\.{_N}")
_BUS_ADDRESS: Final = re.compile(_BUS)
_UPPER_HALF: Final = re.compile(r"gve-ntfy-blk|-ntfy-block\.")
"""gve: the blocks of the lower half are for sending."""


@dataclass(frozen=True, slots=True)
class InterruptRow:
    """One interrupt of /proc/interrupts."""

    irq: int
    chip: str
    """What stands before the names: the controller, often with the device's bus address."""
    names: tuple[str, ...]
    """Who shares it."""


@dataclass(frozen=True, slots=True)
class ReceiveInterrupt:
    """The interrupt that serves receive queue `queue`."""

    queue: int
    irq: int


@dataclass(frozen=True, slots=True)
class FoundInterrupts:
    """The receive interrupts of an interface by queue, and how sure that is."""

    interrupts: tuple[ReceiveInterrupt, ...] = ()
    others: tuple[str, ...] = ()
    """Devices that might be meant, when the tree does not say which of them is the interface: then there are no interrupts."""


def read_interrupts(files: BoxFiles) -> list[InterruptRow]:
    """The numbered rows of `proc/interrupts`; none if it is not there. InputFileError if it is something else."""
    path = "proc/interrupts"
    text = files.text(path, MAX_INTERRUPTS_BYTES)
    if text is None:
        return []
    header, _, body = text.partition("\n")
    columns = header.split()
    if not columns or not all(re.fullmatch(r"CPU\d{1,4}", column) for column in columns):
        raise files.error(path, "its first line names no CPUs")
    rows = []
    for line in body.split("\n"):
        label, colon, rest = line.partition(":")
        label = label.strip()
        if not colon or not (label.isascii() and label.isdigit() and len(label) <= 8):
            continue  # NMI, LOC, ...: no device's
        words = rest.split(None, len(columns))
        described = words[len(columns)] if len(words) > len(columns) else ""
        # `PCI-MSIX-0000:18:00.0   1-edge   ice-eth0-TxRx-0`; those who share an interrupt stand behind commas.
        first, *sharing = described.split(",")
        before, _, last = first.strip().rpartition(" ")
        names = (last, *(name.strip() for name in sharing))
        rows.append(InterruptRow(int(label), before.rstrip(), tuple(name for name in names if name)))
    return rows


def receive_interrupts(
    rows: list[InterruptRow], interface: str, bus: str | None, irqs: frozenset[int]
) -> FoundInterrupts:
    """The receive interrupts of `interface`.

    `bus`: the device's bus address (ethtool -i), None if unknown. `irqs`: its interrupts (device/msi_irqs), empty if unknown.
    """
    rows = [row for row in rows if not irqs or row.irq in irqs]
    by_interface = re.compile("|".join(_named(pattern, interface) for pattern in _BY_INTERFACE))
    found = [
        (int(queue), row.irq, name)
        for row in rows
        for name in row.names
        if (match := by_interface.fullmatch(name)) and (queue := next(filter(None, match.groups())))
    ]
    if not found:
        found, devices = _by_device(rows, bus, bool(irqs))
        if len(devices) > 1:
            return FoundInterrupts((), tuple(sorted(devices)))
    if not found:
        # One interrupt for all of the device is called as the interface.
        found = [(0, row.irq, name) for row in rows for name in row.names if name == interface]
    by_queue: dict[int, int] = {}
    taken: set[int] = set()
    halved = any(_UPPER_HALF.search(name) for _, _, name in found)
    first = (max(queue for queue, _, _ in found) + 1) // 2 if halved else 0
    for queue, irq, _ in sorted(found):
        if queue >= first and irq not in taken and queue - first not in by_queue:
            by_queue[queue - first] = irq
            taken.add(irq)
    # A driver may count its queues from 1 (e1000e's, igb's) or leave one out: the order is what holds.
    return FoundInterrupts(tuple(ReceiveInterrupt(n, by_queue[queue]) for n, queue in enumerate(sorted(by_queue))))


def _named(pattern: str, interface: str) -> str:
    """The pattern for one interface; a pattern's groups must be named once only."""
    return pattern.replace("IF", re.escape(interface)).replace("?P<queue>", "")


def _by_device(
    rows: list[InterruptRow], bus: str | None, is_known: bool
) -> tuple[list[tuple[int, int, str]], set[str]]:
    """(queue, irq, name) of the rows that name a device in place of an interface, and which devices those are.

    `is_known`: the rows are the device's own. Otherwise the bus address tells, or that there is one such device only.
    """
    found: list[tuple[int, int, str, str]] = []
    for row in rows:
        address = _BUS_ADDRESS.search(row.chip)
        for name in row.names:
            for pattern in _BY_BUS:
                if match := re.fullmatch(pattern, name):
                    found.append((int(match["queue"]), row.irq, name, match["bus"]))
            if match := _VIRTIO.fullmatch(name):
                found.append((int(match["queue"]), row.irq, name, address[0] if address else match["device"]))
    if bus is not None and not is_known:
        found = [entry for entry in found if entry[3] == bus or entry[3].startswith("virtio")]
    devices = {device for _, _, _, device in found}
    return [(queue, irq, name) for queue, irq, name, _ in found], devices
