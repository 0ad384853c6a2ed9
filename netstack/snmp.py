"""Snmp: all MIB counters of the machine, and the three files that show them.

Models: the counters that the receive path and its answers move; every other column of a table reads 0.
Leaves out: per-CPU halves (a read sums them anyway), per-device IPv6 tables, the TcpExt names that nothing here moves.
Source: net/ipv4/proc.c, net/ipv6/proc.c (6.9); rules of sections 8-10 and 14b.
"""

from __future__ import annotations

from typing import Final

from netstack.mib import (
    ICMP6_COLUMNS,
    ICMP_COLUMNS,
    IP6_COLUMNS,
    IP_COLUMNS,
    IPEXT_COLUMNS,
    RATE_LIMIT_COLUMNS,
    TCP_COLUMNS,
    TCPEXT_COLUMNS,
    UDP_COLUMNS,
    Icmp6Mib,
    IcmpMib,
    Ip6Mib,
    IpExtMib,
    IpMib,
    TcpExtMib,
    TcpMib,
    UdpMib,
)

ICMP_MSG_TYPES: Final = 256


class Snmp:
    """All tables of one network namespace."""

    __slots__ = (
        "Icmp",
        "Icmp6",
        "Icmp6InType",
        "Icmp6OutType",
        "IcmpMsgInType",
        "IcmpMsgOutType",
        "Ip",
        "Ip6",
        "IpExt",
        "Tcp",
        "TcpExt",
        "Udp",
        "Udp6",
        "shows_icmp_rate_limits",
        "shows_out_transmits",
    )

    def __init__(self, shows_out_transmits: bool = True, shows_icmp_rate_limits: bool = True) -> None:
        self.Ip = IpMib()
        self.Icmp = IcmpMib()
        self.IcmpMsgInType = [0] * ICMP_MSG_TYPES
        """By ICMP type; shown once it has moved."""
        self.IcmpMsgOutType = [0] * ICMP_MSG_TYPES
        self.Tcp = TcpMib()
        self.Udp = UdpMib()
        self.TcpExt = TcpExtMib()
        self.IpExt = IpExtMib()
        self.Ip6 = Ip6Mib()
        self.Icmp6 = Icmp6Mib()
        self.Icmp6InType = [0] * ICMP_MSG_TYPES
        self.Icmp6OutType = [0] * ICMP_MSG_TYPES
        self.Udp6 = UdpMib()
        self.shows_icmp_rate_limits = shows_icmp_rate_limits
        """The release counts ICMP errors that a limit kept back (rules.counts_icmp_rate_limits)."""
        self.shows_out_transmits = shows_out_transmits
        """The release has the column OutTransmits (rules.counts_ip_out_transmits)."""

    def as_dict(self) -> dict[str, int]:
        """Every counter by the name a person knows: "Ip.InReceives", "TcpExt.TCPHPHits", "Ip6InReceives", "IcmpMsg.OutType3"."""
        values: dict[str, int] = {}
        for prefix, table, columns in self._v4_tables():
            for column in columns:
                values[f"{prefix}.{column}"] = getattr(table, column)
        for direction, types in (("In", self.IcmpMsgInType), ("Out", self.IcmpMsgOutType)):
            for number, count in enumerate(types):
                if count:
                    values[f"IcmpMsg.{direction}Type{number}"] = count
        values.update(self._v6_values())
        return values

    def proc_net_snmp(self) -> str:
        """/proc/net/snmp: a line of names and a line of values per table."""
        lines: list[str] = []
        fixed = {"Ip": {"Forwarding": 2, "DefaultTTL": 64}, "Tcp": TCP_CONSTANTS}
        for prefix, table, columns in self._v4_tables():
            if prefix in ("TcpExt", "IpExt"):
                continue
            names = [*fixed.get(prefix, {}), *columns]
            values = [*fixed.get(prefix, {}).values(), *(getattr(table, column) for column in columns)]
            lines += _two_lines(prefix, names, values)
            if prefix == "Icmp":
                moved = [(f"InType{n}", count) for n, count in enumerate(self.IcmpMsgInType) if count]
                moved += [(f"OutType{n}", count) for n, count in enumerate(self.IcmpMsgOutType) if count]
                if moved:
                    lines += _two_lines("IcmpMsg", [name for name, _ in moved], [count for _, count in moved])
        lines += _two_lines("UdpLite", list(UDP_COLUMNS), [0] * len(UDP_COLUMNS))
        return "\n".join(lines) + "\n"

    def proc_net_netstat(self) -> str:
        """/proc/net/netstat: the extended tables, with the columns that this stack can move."""
        lines: list[str] = []
        for prefix, table, columns in self._v4_tables():
            if prefix in ("TcpExt", "IpExt"):
                lines += _two_lines(prefix, list(columns), [getattr(table, column) for column in columns])
        return "\n".join(lines) + "\n"

    def proc_net_snmp6(self) -> str:
        """/proc/net/snmp6: one counter a line."""
        return "".join(f"{name:<32}\t{value}\n" for name, value in self._v6_values().items())

    def _v4_tables(self) -> list[tuple[str, object, tuple[str, ...]]]:
        ip_columns = IP_COLUMNS if self.shows_out_transmits else IP_COLUMNS[:-1]
        return [
            ("Ip", self.Ip, ip_columns),
            ("Icmp", self.Icmp, self._without_limits(ICMP_COLUMNS)),
            ("Tcp", self.Tcp, TCP_COLUMNS),
            ("Udp", self.Udp, UDP_COLUMNS),
            ("TcpExt", self.TcpExt, TCPEXT_COLUMNS),
            ("IpExt", self.IpExt, IPEXT_COLUMNS),
        ]

    def _without_limits(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        if self.shows_icmp_rate_limits:
            return columns
        return tuple(column for column in columns if column not in RATE_LIMIT_COLUMNS)

    def _v6_values(self) -> dict[str, int]:
        ip6_columns = IP6_COLUMNS if self.shows_out_transmits else IP6_COLUMNS[:-1]
        values = {f"Ip6{column}": getattr(self.Ip6, column) for column in ip6_columns}
        values.update({f"Icmp6{column}": getattr(self.Icmp6, column) for column in self._without_limits(ICMP6_COLUMNS)})
        for direction, types in (("In", self.Icmp6InType), ("Out", self.Icmp6OutType)):
            values.update({f"Icmp6{direction}Type{n}": count for n, count in enumerate(types) if count})
        values.update({f"Udp6{column}": getattr(self.Udp6, column) for column in UDP_COLUMNS})
        return values


TCP_CONSTANTS: Final = {"RtoAlgorithm": 1, "RtoMin": 200, "RtoMax": 120000, "MaxConn": -1}
"""Columns of Tcp that never move: algorithm, bounds in ms, no limit of connections."""


def _two_lines(prefix: str, names: list[str], values: list[int]) -> list[str]:
    return [f"{prefix}: {' '.join(names)}", f"{prefix}: {' '.join(str(value) for value in values)}"]
