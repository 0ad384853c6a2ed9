"""The name of a flow, as people write it."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

_PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmpv6"}


@lru_cache(maxsize=4096)
def flow_name(flow: tuple[int, bytes, bytes, int, int]) -> str:
    """`udp 10.0.0.9:443 > 10.0.0.1:51312` of a `Headers.flow`; addresses alone where there are no ports."""
    protocol, saddr, daddr, sport, dport = flow
    if len(saddr) not in (4, 16) or len(daddr) not in (4, 16):
        return "not IP"
    ends = []
    for address, port in ((saddr, sport), (daddr, dport)):
        words = str(ip_address(address))
        if port:
            words = f"[{words}]:{port}" if len(address) == 16 else f"{words}:{port}"
        ends.append(words)
    return f"{_PROTOCOLS.get(protocol, f'protocol {protocol}')} {ends[0]} > {ends[1]}"
