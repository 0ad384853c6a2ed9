"""/sys/devices/system and /proc/cpuinfo: the same CPUs everywhere."""

from __future__ import annotations

import pytest

from cpus.topology import contribute_cpuinfo
from emu.errors import ControlError
from emu.tree import ControlTree
from tests.machine_kit import Kit

CPU = "/sys/devices/system/cpu"
NODE = "/sys/devices/system/node"


def read(tree: ControlTree, base: str, *names: str) -> list[str]:
    return [tree.read(f"{base}/{name}") for name in names]


def test_a_fresh_machine_has_all_its_cpus() -> None:
    tree = Kit(4, nodes=2).tree
    names = ("possible", "present", "online", "offline", "isolated", "kernel_max")
    assert read(tree, CPU, *names) == ["0-3\n", "0-3\n", "0-3\n", "\n", "\n", "8191\n"]
    assert read(tree, NODE, "possible", "online", "has_cpu") == ["0-1\n"] * 3
    assert read(tree, f"{NODE}/node1", "cpulist", "cpumap", "distance") == ["2-3\n", "c\n", "20 10\n"]


def test_each_cpu_is_a_core_of_its_own_in_the_package_of_its_node() -> None:
    tree = Kit(4, nodes=2).tree
    base = f"{CPU}/cpu3/topology"
    assert {name: tree.read(f"{base}/{name}") for name in tree.list(base)} == {
        "core_cpus": "8\n",
        "core_cpus_list": "3\n",
        "core_id": "1\n",
        "core_siblings": "c\n",
        "core_siblings_list": "2-3\n",
        "die_cpus": "c\n",
        "die_cpus_list": "2-3\n",
        "die_id": "0\n",
        "package_cpus": "c\n",
        "package_cpus_list": "2-3\n",
        "physical_package_id": "1\n",
        "thread_siblings": "8\n",
        "thread_siblings_list": "3\n",
    }


def test_a_cpu_that_goes_takes_its_topology_along_and_brings_it_back() -> None:
    kit = Kit(4, nodes=2)
    tree = kit.tree
    contribute_cpuinfo(tree, kit.cpus, "a model", 2.5)
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(
            [
                *read(tree, CPU, "online", "offline", "cpu3/topology/package_cpus_list"),
                *read(tree, f"{NODE}/node1", "cpulist"),
                str("topology" in tree.list(f"{CPU}/cpu2")),
                str(tree.read("/proc/cpuinfo").count("processor")),
            ]
        )

    for at_ns, online in ((1000, False), (3000, True)):
        kit.at(0, at_ns, lambda _, text=str(int(online)): tree.write(f"{CPU}/cpu2/online", text))  # type: ignore[misc]
        kit.at(0, at_ns + 1000, lambda _: look())
    with pytest.raises(ControlError, match="the last one online"):
        Kit(1).tree.write(f"{CPU}/cpu0/online", "0")
    kit.play()
    assert seen == [
        ["0-1,3\n", "2\n", "3\n", "3\n", "False", "3"],
        ["0-3\n", "\n", "2-3\n", "2-3\n", "True", "4"],
    ]


def test_asked_twice_a_cpu_dies_and_is_born_once() -> None:
    kit = Kit(2)
    for at_ns, text in ((1000, "0"), (1000, "0"), (3000, "1"), (3000, "1")):
        kit.at(0, at_ns, lambda _, text=text: kit.tree.write(f"{CPU}/cpu1/online", text))  # type: ignore[misc]
    kit.play()
    assert kit.cpus[1].online
    assert "topology" in kit.tree.list(f"{CPU}/cpu1")


def test_cpuinfo_has_a_block_for_each_cpu() -> None:
    kit = Kit(2)
    contribute_cpuinfo(kit.tree, kit.cpus, "softnet CPU @ 3.60GHz", 3.6)
    first, second, end = kit.tree.read("/proc/cpuinfo").split("\n\n")
    assert end == ""
    assert first == (
        "processor\t: 0\n"
        "model name\t: softnet CPU @ 3.60GHz\n"
        "cpu MHz\t\t: 3600.000\n"
        "physical id\t: 0\n"
        "siblings\t: 2\n"
        "core id\t\t: 0\n"
        "cpu cores\t: 2\n"
        "apicid\t\t: 0\n"
        "bogomips\t: 7200.00"
    )
    assert second.startswith("processor\t: 1\n")
