"""Which NUMA node a CPU belongs to, where nothing else is told: nodes of neighbouring CPUs, as even as they go.

Many real machines deal CPUs to nodes in turn, or number hyperthreads behind all first threads; there
`/sys/devices/system/node/node*/cpulist` tells.
"""

from emu.cpumask import mask_of


def node_of(cpu: int, cpus: int, nodes: int) -> int:
    """Return the node of CPU `cpu` on a machine of `cpus` CPUs and `nodes` nodes, at most one a CPU."""
    return cpu * nodes // cpus


def node_masks(cpus: int, nodes: int) -> list[int]:
    """Return the mask of each node's CPUs."""
    return [mask_of(cpu for cpu in range(cpus) if node_of(cpu, cpus, nodes) == node) for node in range(nodes)]
