"""Random small scenarios, as TOML text: machines, steering, limits, traffic and applications in any mixture that passes the checks."""

from __future__ import annotations

from hypothesis import strategies as st

from emu.costs import PRICE_NAMES
from emu.rules import RULES

DURATION_MS = 5
"""End of scenarios whose applications never end; much longer than their packets take."""


def _lines(table: str, values: dict[str, object]) -> str:
    words = [f"[{table}]"]
    for key, value in values.items():
        if isinstance(value, bool):
            words.append(f"{key} = {str(value).lower()}")
        elif isinstance(value, str):
            words.append(f'{key} = "{value}"')
        else:
            words.append(f"{key} = {value}")
    return "\n".join(words) + "\n"


def _mask(draw: st.DrawFn, cpus: int) -> str:
    return f"{draw(st.integers(0, (1 << cpus) - 1)):x}"


@st.composite
def scenario_texts(
    draw: st.DrawFn,
    max_packets: int = 400,
    rfs: bool = True,
    tcp: bool = True,
    endless_apps: bool = True,
    time_limit: bool = True,
) -> str:
    """A scenario of at most three sources of `max_packets` frames each. Without `endless_apps` it ends by itself."""
    cpus = draw(st.integers(1, 6))
    queues = draw(st.integers(1, 6))
    text = _machine(draw, cpus) + _nic(draw, cpus, queues) + _settings(draw, cpus, queues, rfs, time_limit)
    for index in range(draw(st.integers(1, 3))):
        text += _traffic(draw, index, max_packets, tcp)
    text += _applications(draw, cpus, tcp, endless_apps)
    return text


def _machine(draw: st.DrawFn, cpus: int) -> str:
    text = _lines(
        "machine",
        {
            "cpus": cpus,
            "nodes": draw(st.integers(1, min(cpus, 2))),
            "rules": draw(st.sampled_from(sorted(RULES))),
            "hz": draw(st.sampled_from((100, 250, 1000))),
        },
    )
    if draw(st.integers(0, 2)) == 0:
        # Round prices make different things happen in the same nanosecond.
        unit = draw(st.sampled_from((50, 100)))
        text += _lines("machine.prices", {name: draw(st.integers(1, 3)) * unit for name in PRICE_NAMES})
    return text


def _nic(draw: st.DrawFn, cpus: int, queues: int) -> str:
    vectors = draw(st.integers(1, queues))
    nic: dict[str, object] = {
        "queues": queues,
        "vectors": vectors,
        "ring": draw(st.sampled_from((64, 128, 512, 2048))),
        "weight": draw(st.sampled_from((64, 64, 16, 7, 1))),
        "rx_usecs": draw(st.sampled_from((0, 2, 10, 50))),
        "adaptive_rx": draw(st.booleans()),
        "gro": draw(st.booleans()),
        "rxhash": draw(st.integers(0, 4)) > 0,
        "rx_checksum": draw(st.integers(0, 4)) > 0,
    }
    if draw(st.booleans()):
        nic["affinity"] = [draw(st.integers(0, cpus - 1)) for _ in range(vectors)]
    return _lines("nic", nic)


def _settings(draw: st.DrawFn, cpus: int, queues: int, rfs: bool, time_limit: bool) -> str:
    values: dict[str, object] = {}
    device = "/sys/class/net/eth0"
    if rfs and draw(st.booleans()):
        values["net.core.rps_sock_flow_entries"] = draw(st.sampled_from((1, 8, 256)))
        for queue in range(queues):
            values[f"{device}/queues/rx-{queue}/rps_flow_cnt"] = draw(st.sampled_from((0, 1, 16, 128)))
    if draw(st.integers(0, 3)):
        for queue in range(queues):
            values[f"{device}/queues/rx-{queue}/rps_cpus"] = _mask(draw, cpus)
    if draw(st.booleans()):
        values["net.core.netdev_max_backlog"] = draw(st.sampled_from((0, 1, 5, 30, 300)))
    if draw(st.integers(0, 2)) == 0:
        values["net.core.flow_limit_cpu_bitmap"] = _mask(draw, cpus)
    if draw(st.integers(0, 2)) == 0:
        values["net.core.netdev_budget"] = draw(st.sampled_from((1, 16, 64, 300)))
    if time_limit and draw(st.integers(0, 2)) == 0:
        values["net.core.netdev_budget_usecs"] = draw(st.sampled_from((1, 500, 2000)))
    if draw(st.integers(0, 2)) == 0:
        values["net.core.dev_weight"] = draw(st.sampled_from((1, 8, 64)))
    if draw(st.integers(0, 2)) == 0:
        values[f"{device}/gro_flush_timeout"] = draw(st.sampled_from((0, 7_000, 50_000)))
        values[f"{device}/napi_defer_hard_irqs"] = draw(st.sampled_from((0, 1, 5)))
    return _lines("set", {f'"{key}"': value for key, value in values.items()})


def _traffic(draw: st.DrawFn, index: int, max_packets: int, tcp: bool) -> str:
    protocol = draw(st.sampled_from(("udp", "tcp"))) if tcp else "udp"
    pattern = draw(st.sampled_from(("constant", "poisson", "onoff", "trains")))
    traffic: dict[str, object] = {
        "name": f"source{index}",
        "protocol": protocol,
        "ip": draw(st.sampled_from((4, 6))),
        "pattern": pattern,
        "rate_pps": draw(st.sampled_from((100_000, 500_000, 1_000_000, 3_000_000, 8_000_000))),
        "packets": draw(st.integers(1, max_packets)),
        "flows": draw(st.sampled_from((1, 2, 7, 40))),
        "size": draw(st.sampled_from((90, 200, 1000, 1518))),
        "src_port": 33_000 + 1000 * index,
        "dst_port": draw(st.sampled_from((5001, 5001, 5001, 5002))),
    }
    if pattern == "onoff":
        traffic |= {"on": "30us", "off": "100us"}
    if pattern == "trains":
        traffic["train"] = draw(st.integers(2, 40))
    if protocol == "tcp":
        traffic["tcp_timestamps"] = draw(st.booleans())
    return _lines("[traffic]", traffic)


def _applications(draw: st.DrawFn, cpus: int, tcp: bool, endless: bool) -> str:
    text = ""
    ends = True
    protocols = ("udp", "tcp") if tcp else ("udp",)
    for protocol in protocols:
        kinds = ["sink", "reader", "reader", "reader"]
        if endless and protocol == "udp":
            kinds.append("busy")
        kind = draw(st.sampled_from(kinds))
        ends = ends and kind != "busy"
        app: dict[str, object] = {"kind": kind, "protocol": protocol, "port": 5001}
        if draw(st.booleans()):
            app["rcvbuf"] = draw(st.sampled_from((2304, 9000, 65536)))
        if kind != "sink":
            threads = draw(st.integers(1, 4 if kind == "reader" else 2))
            app |= {
                "threads": threads,
                "sockets": draw(st.sampled_from(("shared", "each"))),
                "batch": draw(st.sampled_from((1, 1, 8))),
                "work_ns": draw(st.sampled_from((0, 0, 700, 5000))),
                "weight": draw(st.sampled_from((1024, 15, 88761))),
            }
            if draw(st.booleans()):
                app["cpus"] = [draw(st.integers(0, cpus - 1)) for _ in range(threads)]
        text += _lines("[app]", app)
    if endless and draw(st.integers(0, 3)) == 0:
        ends = False
        text += _lines("[app]", {"kind": "burner", "threads": draw(st.integers(1, 2))})
    if not ends:
        text += _lines("run", {"duration": f"{DURATION_MS}ms"})
    return text


@st.composite
def ethtool_words(draw: st.DrawFn) -> str:
    """What ethtool may be told of eth0 while it runs; some of it is refused."""
    first, second = draw(st.integers(1, 6)), draw(st.integers(0, 3))
    switch = draw(st.sampled_from(("on", "off")))
    return draw(
        st.sampled_from(
            (
                f"-L eth0 combined {first}",
                f"-L eth0 combined {first} rx {second}",
                f"-G eth0 rx {draw(st.sampled_from((64, 100, 512, 2048)))}",
                f"-X eth0 equal {first}",
                f"-X eth0 weight {second} {first}",
                "-X eth0 default",
                f"-X eth0 hkey {':'.join(['6d', '5a'] * 26)}",
                f"-K eth0 gro {switch}",
                f"-K eth0 rxhash {switch} rx {switch}",
                f"-C eth0 adaptive-rx {switch}",
                f"-C eth0 adaptive-rx off adaptive-tx off rx-usecs {10 * first} rx-usecs-high {8 * first}",
                f"-N eth0 rx-flow-hash udp4 {draw(st.sampled_from(('sd', 'sdfn', 'n')))}",
            )
        )
    )
