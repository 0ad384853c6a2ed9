"""/sys/devices/system/{cpu,node} and /proc/cpuinfo: which CPUs there are, how they sit together, which are online.

Models: one thread a core, one die and one package a NUMA node; the topology of a CPU goes when it goes offline.
Leaves out: caches, frequencies, memory of a node, what a CPU is beyond its clock (flags, family, microcode).
Source: drivers/base/cpu.c, topology.c, node.c, arch/x86/kernel/cpu/proc.c (6.9), a real 6.18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from emu.cpumask import format_list, format_mask, mask_of

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from cpus.hotplug import Hotplug
    from emu.tree import ControlTree

CPU_ROOT: Final = "/sys/devices/system/cpu"
NODE_ROOT: Final = "/sys/devices/system/node"

KERNEL_MAX: Final = 8191
"""Highest CPU number a distribution's kernel is built for (NR_CPUS 8192)."""
LOCAL_DISTANCE: Final = 10
REMOTE_DISTANCE: Final = 20
"""What the kernel assumes where the firmware tells no distances."""

Mask = Callable[[], int]


def contribute(tree: ControlTree, cpus: list[Cpu], hotplug: Hotplug, isolated: int) -> None:
    """Add the files; `isolated` is a mask. Those of a CPU's topology leave and come back with it."""
    count = len(cpus)
    every = (1 << count) - 1

    def online() -> int:
        return mask_of(cpu.index for cpu in cpus if cpu.online)

    for name, mask in {
        "possible": lambda: every,
        "present": lambda: every,
        "online": online,
        "offline": lambda: every & ~online(),
        "isolated": lambda: isolated,
    }.items():
        _add_list(tree, f"{CPU_ROOT}/{name}", mask, count)
    tree.add(f"{CPU_ROOT}/kernel_max", lambda: f"{KERNEL_MAX}\n", None)
    for cpu in cpus:
        _contribute_topology(tree, cpu, cpus)
    hotplug.on_dead.append(lambda dead, _: tree.remove(f"{CPU_ROOT}/cpu{dead.index}/topology"))
    hotplug.on_online.append(lambda born: _contribute_topology(tree, born, cpus))
    nodes = sorted({cpu.node for cpu in cpus})
    for name in ("possible", "online", "has_cpu"):
        _add_list(tree, f"{NODE_ROOT}/{name}", lambda: mask_of(nodes), nodes[-1] + 1)
    for node in nodes:
        _contribute_node(tree, node, nodes, cpus)


def node_mask(cpus: list[Cpu], node: int) -> int:
    """The online CPUs of a node: its cpumask."""
    return mask_of(cpu.index for cpu in cpus if cpu.node == node and cpu.online)


def contribute_cpuinfo(tree: ControlTree, cpus: list[Cpu], model_name: str, clock_ghz: float) -> None:
    """Add /proc/cpuinfo. `model_name` is one line; `clock_ghz` is the clock that prices were made with."""
    tree.add("/proc/cpuinfo", lambda: _cpuinfo(cpus, model_name, clock_ghz), None)


def _contribute_topology(tree: ControlTree, cpu: Cpu, cpus: list[Cpu]) -> None:
    base = f"{CPU_ROOT}/cpu{cpu.index}/topology"
    core_id = _core_id(cpu, cpus)

    def itself() -> int:
        return 1 << cpu.index

    def package() -> int:
        return node_mask(cpus, cpu.node)

    for name, number in {"core_id": core_id, "die_id": 0, "physical_package_id": cpu.node}.items():
        tree.add(f"{base}/{name}", lambda number=number: f"{number}\n", None)  # type: ignore[misc]
    for mask, names in (
        (itself, ("thread_siblings", "core_cpus")),
        (package, ("core_siblings", "package_cpus", "die_cpus")),
    ):
        for name in names:
            _add_mask(tree, f"{base}/{name}", mask, len(cpus))
            _add_list(tree, f"{base}/{name}_list", mask, len(cpus))


def _contribute_node(tree: ControlTree, node: int, nodes: list[int], cpus: list[Cpu]) -> None:
    base = f"{NODE_ROOT}/node{node}"
    _add_mask(tree, f"{base}/cpumap", lambda: node_mask(cpus, node), len(cpus))
    _add_list(tree, f"{base}/cpulist", lambda: node_mask(cpus, node), len(cpus))
    distances = " ".join(str(LOCAL_DISTANCE if other == node else REMOTE_DISTANCE) for other in nodes)
    tree.add(f"{base}/distance", lambda: f"{distances}\n", None)


def _core_id(cpu: Cpu, cpus: list[Cpu]) -> int:
    """The CPU's place in its package."""
    return sum(other.node == cpu.node for other in cpus[: cpu.index])


def _cpuinfo(cpus: list[Cpu], model_name: str, clock_ghz: float) -> str:
    blocks: list[str] = []
    for cpu in cpus:
        if not cpu.online:
            continue
        siblings = sum(other.node == cpu.node and other.online for other in cpus)
        blocks.append(
            f"processor\t: {cpu.index}\n"
            f"model name\t: {model_name}\n"
            f"cpu MHz\t\t: {clock_ghz * 1000:.3f}\n"
            f"physical id\t: {cpu.node}\n"
            f"siblings\t: {siblings}\n"
            f"core id\t\t: {_core_id(cpu, cpus)}\n"
            f"cpu cores\t: {siblings}\n"
            f"apicid\t\t: {cpu.index}\n"
            f"bogomips\t: {clock_ghz * 2000:.2f}\n"
            "\n"
        )
    return "".join(blocks)


def _add_mask(tree: ControlTree, path: str, mask: Mask, bits: int) -> None:
    tree.add(path, lambda: f"{format_mask(mask(), bits)}\n", None)


def _add_list(tree: ControlTree, path: str, mask: Mask, bits: int) -> None:
    tree.add(path, lambda: f"{format_list(mask(), bits)}\n", None)
