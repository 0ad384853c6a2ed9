"""Receive interrupts by what drivers call them, as people have published /proc/interrupts of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from emu.errors import InputFileError
from scenarios.box_files import BoxFiles
from scenarios.box_interrupts import InterruptRow, read_interrupts, receive_interrupts

BUS = "0000:18:00.0"


def rows(*names: str, chip: str = "PCI-MSIX-0000:18:00.0 1-edge") -> list[InterruptRow]:
    return [InterruptRow(100 + n, chip, tuple(name.split(", "))) for n, name in enumerate(names)]


def irqs(found: list[InterruptRow], interface: str = "eth0", bus: str | None = BUS) -> list[int]:
    return [one.irq for one in receive_interrupts(found, interface, bus, frozenset()).interrupts]


@pytest.mark.parametrize(
    "names",
    [
        ("ice-0000:18:00.0:misc", "ice-eth0-TxRx-0", "ice-eth0-TxRx-1"),
        ("i40e-0000:18:00.0:misc", "i40e-eth0-TxRx-0", "i40e-eth0-TxRx-1"),
        ("eth0", "eth0-TxRx-0", "eth0-TxRx-1"),
        ("ena-mgmnt@pci:0000:18:00.0", "eth0-Tx-Rx-0", "eth0-Tx-Rx-1"),
        ("mlx5_async0@pci:0000:18:00.0", "mlx5_comp0@pci:0000:18:00.0", "mlx5_comp1@pci:0000:18:00.0"),
        ("mlx4-async@pci:0000:18:00.0", "mlx4-0@0000:18:00.0", "mlx4-1@0000:18:00.0"),
        ("mana_hwc@pci:0000:18:00.0", "mana_q0@pci:0000:18:00.0", "mana_q1@pci:0000:18:00.0"),
        ("virtio2-config", "virtio2-input.0", "virtio2-input.1"),
        ("eth0-event-2", "eth0-rxtx-0", "eth0-rxtx-1"),
        ("eth0", "eth0-fp-0", "eth0-fp-1"),
        ("eth0-tx-0", "eth0-rx-0", "eth0-rx-1"),
        ("eth1-TxRx-0", "eth0-TxRx-0", "eth0-TxRx-1"),
        ("eth0-q0-tx", "eth0-q0-rx", "eth0-q1-rx"),
        ("eth0-x", "eth0-0", "eth0-1"),
    ],
)
def test_the_queues_interrupts_are_found_by_their_names(names: tuple[str, ...]) -> None:
    assert irqs(rows(*names)) == [101, 102]


def test_the_upper_half_of_gve_blocks_receives() -> None:
    assert irqs(rows(*(f"gve-ntfy-blk{n}@pci:{BUS}" for n in range(4)))) == [102, 103]


def test_queues_come_by_number_not_by_line_and_may_count_from_one() -> None:
    assert irqs(rows("eth0-TxRx-10", "eth0-TxRx-9", "eth0-TxRx-8")) == [102, 101, 100]
    assert irqs(rows("eth0-rx-2", "eth0-rx-1")) == [101, 100]


def test_one_interrupt_may_serve_a_whole_device_and_be_shared() -> None:
    assert irqs(rows("uhci_hcd:usb1, eth0", chip="IO-APIC 11-fasteoi")) == [100]


def test_an_interrupt_of_two_queues_is_one_vector() -> None:
    assert irqs(rows("virtio2-input.0, virtio2-input.1")) == [100]


def test_other_cards_of_the_same_driver_are_told_apart_by_their_bus() -> None:
    found = rows("mlx5_comp0@pci:0000:18:00.1", "mlx5_comp0@pci:0000:18:00.0")
    assert irqs(found) == [101]
    assert irqs(found, bus="0000:99:00.0") == []
    unclear = receive_interrupts(found, "eth0", None, frozenset())
    assert unclear.interrupts == () and unclear.others == ("0000:18:00.0", "0000:18:00.1")
    assert [one.irq for one in receive_interrupts(found, "eth0", None, frozenset({100})).interrupts] == [100]


def test_virtio_devices_of_old_kernels_show_no_bus_and_are_asked_for() -> None:
    found = rows("virtio0-input.0", "virtio1-input.0", "virtio4-input", chip="PCI-MSI 49153-edge")
    assert receive_interrupts(found, "eth0", BUS, frozenset()).others == ("virtio0", "virtio1")
    assert irqs(rows("virtio0-input.0", "virtio4-input", chip="PCI-MSI 49153-edge")) == [100]


def write(tmp_path: Path, text: str) -> BoxFiles:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/interrupts").write_text(text)
    return BoxFiles(tmp_path, "box")


def test_rows_are_read_as_the_kernel_prints_them(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        "           CPU0       CPU3       \n"
        "  9:          0          0   IO-APIC   9-fasteoi   acpi, i801_smbus\n"
        " 31:          0       2554 PCI-MSIX-0000:00:01.0   3-edge      virtio0-stats\n"
        "143:         12          7  IR-PCI-MSI 1048577-edge      mlx5_comp0@pci:0000:3b:00.0\n"
        "NMI:          0          0   Non-maskable interrupts\n"
        "ERR:          0\n",
    )
    assert read_interrupts(files) == [
        InterruptRow(9, "IO-APIC   9-fasteoi", ("acpi", "i801_smbus")),
        InterruptRow(31, "PCI-MSIX-0000:00:01.0   3-edge", ("virtio0-stats",)),
        InterruptRow(143, "IR-PCI-MSI 1048577-edge", ("mlx5_comp0@pci:0000:3b:00.0",)),
    ]


def test_what_is_no_table_of_interrupts_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"box/proc/interrupts: its first line names no CPUs"):
        read_interrupts(write(tmp_path, "root:x:0:0\n"))
