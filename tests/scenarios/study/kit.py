"""A small machine for studies: as a file, and as a side of a comparison."""

from __future__ import annotations

from pathlib import Path

from scenarios.load import parse_scenario
from scenarios.study.runner import Side

SMALL = """
[scenario]
name = "small"
[machine]
cpus = 2
seed = 1
[nic]
queues = 1
rx_usecs = 20
adaptive_rx = false
ring = 256
[[traffic]]
name = "requests"
rate_pps = {rate_pps}
pattern = "{pattern}"
flows = 50
[[app]]
kind = "reader"
protocol = "udp"
port = 5001
cpus = 1
batch = 16
[run]
duration = "{duration}"
warmup = "{warmup}"
{more}
"""

RPS = "echo 2 > /sys/class/net/eth0/queues/rx-0/rps_cpus"


def text(
    rate_pps: int = 1_000_000, pattern: str = "poisson", duration: str = "3ms", warmup: str = "1ms", more: str = ""
) -> str:
    return SMALL.format(rate_pps=rate_pps, pattern=pattern, duration=duration, warmup=warmup, more=more)


def side(toml: str, *changes: str) -> Side:
    return Side(parse_scenario(toml, "small.toml", Path()), changes)
