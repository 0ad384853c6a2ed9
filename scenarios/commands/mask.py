"""`softnet mask`: a CPU mask as a list and back, with the nodes."""

from typing import Annotated

from cyclopts import Parameter

from emu.errors import ConfigError


def mask(
    cpus_: Annotated[str, Parameter(name="MASK-or-LIST", allow_leading_hyphen=True)],
    /,
    *,
    cpus: int | None = None,
    nodes: list[str] | None = None,
    scenario: str | None = None,
    json: Annotated[bool, Parameter(name=["--json", "-j"])] = False,
) -> int:
    """Show a set of CPUs as the kernel's mask and list, and the NUMA nodes it lies on.

    A text with 0x, hexadecimal letters or groups of eight digits is a mask, any other a list: 0x10 is CPU 4, 10 is CPU 10.

    Parameters
    ----------
    cpus_
        ff,00000000 or 0xf0f; 0-3,8-11 or 0-31:1/2.
    cpus
        CPUs of the machine; up to the highest one named if not given.
    nodes
        How many NUMA nodes the machine has, made of neighbouring CPUs; or, given several times, the CPU list of each.
    scenario
        The machine of this scenario, in place of --cpus and --nodes.
    json
        Print one JSON document.
    """
    from scenarios.mask_picture import picture_of, told_nodes

    if scenario is not None:
        if cpus is not None or nodes is not None:
            raise ConfigError("--scenario: its machine has CPUs and nodes already, leave --cpus and --nodes out")
        from scenarios.catalog import open_scenario
        from scenarios.cpusets import node_cpus

        machine = open_scenario(scenario).scenario.machine
        picture = picture_of(cpus_, machine.cpus, node_cpus(machine))
    else:
        picture = picture_of(cpus_, cpus, told_nodes(nodes) if nodes else 1)
    if json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(picture.document())).decode())
    else:
        print("\n".join(picture.lines()))
    return 0
