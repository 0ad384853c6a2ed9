"""The NIC's control files."""

from __future__ import annotations

import pytest

from emu.errors import ControlError
from nic.controls import STATISTICS, contribute, contribute_interrupts
from tests.nic.rig import OTHER_MAC, Rig, frame, udp_headers


def rig(*times: int, cpus: int = 4, queues: int = 2) -> Rig:
    made = Rig([frame(udp_headers(), time) for time in times], cpus=cpus, queues=queues)
    contribute(made.machine.tree, made.nic)
    contribute_interrupts(made.machine.tree, made.net, made.cpus, [made.nic])
    return made


def test_affinity_is_read_as_mask_and_list() -> None:
    tree = rig().machine.tree
    assert [tree.read(f"/proc/irq/33/{name}") for name in tree.list("/proc/irq/33")] == [
        "2\n",
        "2\n",
        "1\n",
        "2\n",
        "1\n",
    ]
    assert tree.list("/proc/irq/33") == [
        "affinity_hint",
        "effective_affinity",
        "effective_affinity_list",
        "smp_affinity",
        "smp_affinity_list",
    ]


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
    contribute(made.machine.tree, made.nic)
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
    contribute(tree, made.nic)
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
        "RES:          0          0   Rescheduling interrupts\n"
        "CAL:          0          7   Function call interrupts\n"
    )
