"""CPU sets as scenarios write them: a CPU number, a CPU list, or a hexadecimal mask behind `0x`.

The kernel tells a list from a mask by the file it is written to. A scenario has one key for both, so here a text is a list
(`"0-3,8"`, the grammar of cpulist files) unless it begins with `0x` (`"0xff"`, `"0xff,00000000"`).
"""

from emu.cpumask import cpus_of, mask_of, parse_list, parse_mask
from emu.errors import ConfigError, ControlError
from emu.numa import node_of
from scenarios.schema import App, Machine, Scenario

CpuSetValue = int | str


def parse_cpus(value: CpuSetValue, nr_cpus: int) -> int:
    """Return the mask that `value` means on a machine of `nr_cpus`. ConfigError for what is no CPU of it, or none at all."""
    if isinstance(value, int):
        if not 0 <= value < nr_cpus:
            raise ConfigError(f"there is no CPU {value}: the highest is {nr_cpus - 1}")
        return 1 << value
    try:
        mask = parse_mask(value[2:], nr_cpus) if value[:2] in ("0x", "0X") else parse_list(value, nr_cpus)
    except ControlError as error:
        raise ConfigError(error.message) from error
    if not mask:
        raise ConfigError(f"{value[:60]!r} names no CPU: write CPUs from 0 to {nr_cpus - 1}, as 0-{nr_cpus - 1}")
    return mask


def vector_masks(scenario: Scenario) -> list[int]:
    """Return smp_affinity of each vector. ConfigError as `parse_cpus`."""
    cpus, vectors = scenario.machine.cpus, scenario.vectors
    affinity = scenario.nic.affinity
    if affinity == "spread":
        return [1 << vector % cpus for vector in range(vectors)]
    named = [affinity] if isinstance(affinity, str) else affinity
    masks = [parse_cpus(value, cpus) for value in named]
    return [masks[vector % len(masks)] for vector in range(vectors)]


def cpu_nodes(machine: Machine) -> list[int]:
    """Return the NUMA node of each CPU. ConfigError as `parse_cpus`, and for a CPU that is on no node or on two."""
    if isinstance(machine.nodes, int):
        return [node_of(cpu, machine.cpus, machine.nodes) for cpu in range(machine.cpus)]
    nodes = [-1] * machine.cpus
    for node, cpus in enumerate(machine.nodes):
        for cpu in cpus_of(parse_cpus(cpus, machine.cpus)):
            if nodes[cpu] >= 0:
                raise ConfigError(f"CPU {cpu} is on node {nodes[cpu]} and on node {node}: write it once")
            nodes[cpu] = node
    if -1 in nodes:
        raise ConfigError(f"CPU {nodes.index(-1)} is on no node: write it into one of the lists")
    return nodes


def node_cpus(machine: Machine) -> list[int]:
    """Return the mask of each node's CPUs. ConfigError as `cpu_nodes`."""
    nodes = cpu_nodes(machine)
    return [mask_of(cpu for cpu, on in enumerate(nodes) if on == node) for node in range(machine.node_count)]


def isolated_mask(machine: Machine) -> int:
    """Return the CPUs that are isolated. ConfigError as `parse_cpus`, and when no CPU is left."""
    if machine.isolated is None:
        return 0
    mask = parse_cpus(machine.isolated, machine.cpus)
    if mask == (1 << machine.cpus) - 1:
        raise ConfigError("all CPUs are isolated: leave one out")
    return mask


def thread_masks(app: App, nr_cpus: int, anywhere: int | None = None) -> list[int]:
    """Return the CPUs that each thread of `app` may run on; if it is not told, those of `anywhere`, all if that is None.

    ConfigError as `parse_cpus`.
    """
    if app.cpus is None:
        return [(1 << nr_cpus) - 1 if anywhere is None else anywhere] * app.threads
    named = (app.cpus,) if isinstance(app.cpus, (int, str)) else app.cpus
    masks = [parse_cpus(value, nr_cpus) for value in named]
    return [masks[thread % len(masks)] for thread in range(app.threads)]
