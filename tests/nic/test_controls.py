"""The NIC's control files."""

from __future__ import annotations

import pytest

from emu.errors import ControlError
from nic.controls import contribute, remove_vector
from softirq.controls import contribute_device
from softirq.net_sysfs import STATISTICS
from tests.nic.rig import OTHER_MAC, Rig, frame, udp_headers


def rig(*times: int, cpus: int = 4, queues: int = 2) -> Rig:
    made = Rig([frame(udp_headers(), time) for time in times], cpus=cpus, queues=queues)
    contribute(made.machine.tree, made.machine.irqs, made.nic)
    contribute_device(made.machine.tree, made.net, made.dev)
    return made


def test_affinity_is_read_as_mask_and_list() -> None:
    tree = rig().machine.tree
    assert {name: tree.read(f"/proc/irq/33/{name}") for name in tree.list("/proc/irq/33")} == {
        "affinity_hint": "2\n",
        "effective_affinity": "2\n",
        "effective_affinity_list": "1\n",
        "node": "0\n",
        "smp_affinity": "2\n",
        "smp_affinity_list": "1\n",
    }


def test_a_written_affinity_moves_the_vector() -> None:
    made = rig()
    tree = made.machine.tree
    tree.write("/proc/irq/32/smp_affinity", "c\n")
    assert tree.read("/proc/irq/32/smp_affinity_list") == "2-3\n"
    assert tree.read("/proc/irq/32/effective_affinity") == "4\n"
    tree.write("/proc/irq/32/smp_affinity_list", "1,3")
    assert tree.read("/proc/irq/32/smp_affinity") == "a\n"
    assert tree.read("/proc/irq/32/effective_affinity_list") == "3\n"
    assert tree.read("/proc/irq/32/affinity_hint") == "1\n"


@pytest.mark.parametrize(
    ("name", "text", "errno"),
    [
        ("smp_affinity", "0", "EINVAL"),
        ("smp_affinity", "x", "EINVAL"),
        ("smp_affinity", "10", "EOVERFLOW"),
        ("smp_affinity_list", "4", "ERANGE"),
        ("effective_affinity", "1", "EACCES"),
        ("affinity_hint", "1", "EACCES"),
    ],
)
def test_a_refused_affinity_changes_nothing(name: str, text: str, errno: str) -> None:
    tree = rig().machine.tree
    with pytest.raises(ControlError) as error:
        tree.write(f"/proc/irq/32/{name}", text)
    assert error.value.errno_name == errno
    assert tree.read("/proc/irq/32/smp_affinity") == "1\n"


def test_the_mtu_decides_which_frames_are_too_long() -> None:
    hdr = udp_headers()
    made = Rig([frame(hdr, 1000, 4000), frame(hdr, 10_000, 4000)])
    contribute_device(made.machine.tree, made.net, made.dev)
    made.at(5_000, lambda: made.machine.tree.write("/sys/class/net/eth0/mtu", "9000"))
    made.run()
    assert [skb.arrived_ns for _, _, skb in made.received] == [10_000]
    assert made.machine.tree.read("/sys/class/net/eth0/mtu") == "9000\n"
    for text in ("67", "9703", "-1", "x"):
        with pytest.raises(ControlError, match="mtu"):
            made.machine.tree.write("/sys/class/net/eth0/mtu", text)


def test_counters_are_as_of_the_time_of_the_read() -> None:
    made = Rig([frame(udp_headers(dst_mac=OTHER_MAC), 1000), *(frame(udp_headers(), 1000 * n) for n in range(1, 6))])
    tree = made.machine.tree
    contribute_device(tree, made.net, made.dev)
    seen: list[tuple[str, int]] = []
    made.cpus[0].bh_disabled = 1
    base = "/sys/class/net/eth0/statistics"

    def look() -> None:
        seen.append((tree.read(f"{base}/rx_packets"), made.nic.rings[0].fill))

    made.at(3_500, look)
    made.run()
    assert seen == [("0\n", 3)]
    assert tree.list(base) == sorted(STATISTICS)
    assert {tree.read(f"{base}/{name}") for name in STATISTICS} == {"0\n"}


def test_proc_interrupts_shows_vectors_by_online_cpu() -> None:
    made = rig(1000, cpus=3, queues=1)
    made.run()
    made.cpus[1].online = False
    made.net.softnet[2].received_rps = 7
    assert made.machine.tree.read("/proc/interrupts") == (
        "           CPU0       CPU2       \n"
        " 32:          1          0  PCI-MSIX-0000:01:00.0   1-edge      eth0-TxRx-0\n"
        "LOC:          0          0   Local timer interrupts\n"
        "RES:          0          0   Rescheduling interrupts\n"
        "CAL:          0          7   Function call interrupts\n"
    )


def test_from_6_18_on_one_blank_stands_before_the_chip() -> None:
    made = Rig([], cpus=2, queues=1, release="6.18")
    contribute(made.machine.tree, made.machine.irqs, made.nic)
    row = made.machine.tree.read("/proc/interrupts").splitlines()[1]
    assert row == " 32:          0          0 PCI-MSIX-0000:01:00.0   1-edge      eth0-TxRx-0"


def test_a_machine_of_many_interrupts_has_a_wider_column_of_numbers() -> None:
    made = rig(cpus=72, queues=1)
    header, first, *_, last = made.machine.tree.read("/proc/interrupts").splitlines()
    assert header.startswith(" " * 12 + "CPU0       CPU1       ")
    assert (first[:5], last[:5]) == ("  32:", " CAL:")


def test_sys_tells_of_a_vector_what_proc_interrupts_does() -> None:
    made = rig(1000, cpus=3, queues=2)
    made.run()
    tree = made.machine.tree
    assert {name: tree.read(f"/sys/kernel/irq/33/{name}") for name in tree.list("/sys/kernel/irq/33")} == {
        "actions": "eth0-TxRx-1\n",
        "chip_name": "PCI-MSIX-0000:01:00.0\n",
        "hwirq": "2\n",
        "name": "edge\n",
        "per_cpu_count": f"{','.join(map(str, made.nic.vectors[1].irqs))}\n",
        "type": "edge\n",
    }
    assert tree.list("/sys/class/net/eth0/device/msi_irqs") == ["32", "33"]


def test_a_vector_that_is_removed_leaves_no_file_and_its_interrupts_stay_in_the_total() -> None:
    made = rig(1000, cpus=2, queues=2)
    made.run()
    tree, irqs = made.machine.tree, made.machine.irqs
    total = irqs.intr()[0]
    assert total >= sum(made.nic.vectors[0].irqs) >= 1
    remove_vector(tree, irqs, made.nic, made.nic.vectors[0])
    assert not [path for path in tree.paths() if "/32" in path]
    assert "eth0-TxRx-0" not in tree.read("/proc/interrupts")
    assert irqs.intr()[0] == total
    assert irqs.intr()[1 + 32] == 0


def test_the_device_stands_on_its_node() -> None:
    made = rig(cpus=4)
    tree = made.machine.tree
    base = "/sys/class/net/eth0/device"
    assert [tree.read(f"{base}/{name}") for name in ("numa_node", "local_cpus", "local_cpulist")] == [
        "0\n",
        "f\n",
        "0-3\n",
    ]
