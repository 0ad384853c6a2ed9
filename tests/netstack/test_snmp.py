"""The MIB tables and the three files that show them."""

from __future__ import annotations

import netstack.mib as mib
from netstack.snmp import Snmp
from tests.netstack.stack_kit import StackKit, icmp4, udp4, udp6


def parsed(text: str) -> dict[str, dict[str, int]]:
    """Files of two lines a table, as every tool reads them."""
    lines = [line.split() for line in text.splitlines()]
    tables: dict[str, dict[str, int]] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        assert names[0] == values[0]
        tables[names[0][:-1]] = dict(zip(names[1:], map(int, values[1:]), strict=True))
    return tables


def test_files_show_what_has_moved() -> None:
    kit = StackKit()
    kit.stack.udp_socket(7000)
    kit.up(udp4(), udp6(), icmp4(8))
    snmp = kit.stack.snmp
    tables = parsed(snmp.proc_net_snmp())
    assert list(tables) == ["Ip", "Icmp", "IcmpMsg", "Tcp", "Udp", "UdpLite"]
    assert tables["Ip"]["InReceives"] == 2
    assert tables["Ip"]["DefaultTTL"] == 64
    assert tables["IcmpMsg"] == {"InType8": 1, "OutType0": 1}
    assert tables["Tcp"]["MaxConn"] == -1
    extended = parsed(snmp.proc_net_netstat())
    assert list(extended) == ["TcpExt", "IpExt"]
    assert extended["IpExt"]["InNoECTPkts"] == 2
    six = dict(line.split() for line in snmp.proc_net_snmp6().splitlines())
    assert six["Ip6InReceives"] == six["Udp6NoPorts"] == six["Icmp6OutType1"] == "1"


def test_icmp_types_are_shown_once_they_have_moved() -> None:
    assert "IcmpMsg" not in parsed(Snmp().proc_net_snmp())


def test_out_transmits_is_the_last_column_of_later_releases() -> None:
    assert parsed(Snmp(True).proc_net_snmp())["Ip"].popitem()[0] == "OutTransmits"
    assert "OutTransmits" not in parsed(Snmp(False).proc_net_snmp())["Ip"]
    assert "Ip6OutTransmits" not in Snmp(False).as_dict()


def test_every_column_starts_at_0_and_is_counted_by_its_name() -> None:
    snmp = Snmp()
    assert set(snmp.as_dict().values()) == {0}
    for name, columns in (("Ip", mib.IP_COLUMNS), ("TcpExt", mib.TCPEXT_COLUMNS), ("Udp6", mib.UDP_COLUMNS)):
        for column in columns:
            setattr(getattr(snmp, name), column, 5)
    values = snmp.as_dict()
    assert values["Ip.FragCreates"] == values["TcpExt.TCPHPHits"] == values["Udp6MemErrors"] == 5
    assert len(values) == len(set(values))
