"""The control files that netstack owns: the counters of /proc/net.

Source: net/ipv4/proc.c, net/ipv6/proc.c (6.9).
"""

from __future__ import annotations

from emu.tree import ControlTree
from netstack.snmp import Snmp


def contribute(tree: ControlTree, snmp: Snmp) -> None:
    """Add /proc/net/snmp, netstat and snmp6, read-only."""
    tree.add("/proc/net/snmp", snmp.proc_net_snmp, None)
    tree.add("/proc/net/netstat", snmp.proc_net_netstat, None)
    tree.add("/proc/net/snmp6", snmp.proc_net_snmp6, None)
