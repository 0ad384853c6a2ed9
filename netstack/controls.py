"""The control files that netstack owns: the counters of /proc/net, the sysctls of net.ipv4 and net.ipv6.

Source: net/ipv4/proc.c, net/ipv6/proc.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.tree import ControlTree

if TYPE_CHECKING:
    from netstack.stack import NetStack


def contribute(tree: ControlTree, stack: NetStack) -> None:
    """Add /proc/net/snmp, netstat and snmp6, read-only, and the sysctls."""
    snmp = stack.snmp
    tree.add("/proc/net/snmp", snmp.proc_net_snmp, None)
    tree.add("/proc/net/netstat", snmp.proc_net_netstat, None)
    tree.add("/proc/net/snmp6", snmp.proc_net_snmp6, None)
    stack.settings.contribute(tree, stack.net.jiffies)
