"""How much memory a scenario could take at worst, estimated before anything is built.

Counted is what grows with the settings: frames that rings, backlogs and sockets may hold (never more than are sent),
flows, steering tables. The sizes are those of CPython objects, rounded up.
"""

from typing import Final

from scenarios.durations import UNITS_NS
from scenarios.origin import SettingPath
from scenarios.schema import Scenario

MAX_MEMORY_BYTES: Final = 2 << 30
"""A scenario that could take more is refused."""

FRAME_BYTES: Final = 400
"""A frame held somewhere: its skb and its place in a queue. Headers are shared by the frames of a flow."""
FLOW_BYTES: Final = 1500
"""A flow: its headers, parsed, and its counters."""
CPU_BYTES: Final = 1 << 20
QUEUE_BYTES: Final = 64 << 10
SLOT_BYTES: Final = 40
"""An entry of a steering table."""
SMALLEST_TRUESIZE_BYTES: Final = 768
"""What a frame counts in a socket at least."""
CAPTURE_FRAMES: Final = 1 << 20
"""Taken for a capture, whose length is not known before it is read."""
UNENDING_NS: Final = 10 * UNITS_NS["s"]
"""Taken for a run without an end."""


def estimate_bytes(scenario: Scenario) -> list[tuple[SettingPath, str, int]]:
    """Return what takes memory: the setting to change, words for people, bytes."""
    cpus, queues = scenario.machine.cpus, scenario.queues
    sent = frames_sent(scenario)
    backlog = _number(scenario, "netdev_max_backlog", 1000)
    # Compared as unsigned (B3): a negative limit is none.
    backlogs = min(cpus * backlog, sent) if backlog >= 0 else sent
    rings = min(queues * scenario.nic.ring, sent)
    rmem_default = _number(scenario, "rmem_default", 212_992)
    buffers = 0
    for app in scenario.app:
        sockets = (app.threads if app.sockets == "each" else 1) * max(len(app.ports), 1)
        rcvbuf = rmem_default if app.rcvbuf is None else 2 * app.rcvbuf
        buffers += sockets * rcvbuf // SMALLEST_TRUESIZE_BYTES
    buffers = min(buffers, sent)
    slots = _number(scenario, "rps_sock_flow_entries", 0) + cpus * _number(scenario, "flow_limit_table_len", 4096)
    for key, value in scenario.set.items():
        if key.endswith("rps_flow_cnt"):
            slots += _whole(value, 0)
    flows = sum(traffic.flows for traffic in scenario.traffic)
    if scenario.capture is not None:
        flows += 64 * scenario.capture.spread
    return [
        (("nic", "ring"), f"{rings:,} frames in {queues} rings", rings * FRAME_BYTES),
        (("set",), f"{backlogs:,} packets in {cpus} backlogs", backlogs * FRAME_BYTES),
        (("app",), f"{buffers:,} packets in sockets", buffers * FRAME_BYTES),
        (("traffic",), f"{flows:,} flows", flows * FLOW_BYTES),
        (("set",), f"{slots:,} entries of steering tables", slots * SLOT_BYTES),
        (("machine", "cpus"), f"{cpus} CPUs and {queues} queues", cpus * CPU_BYTES + queues * QUEUE_BYTES),
    ]


def frames_sent(scenario: Scenario) -> int:
    """Return an upper bound of the frames sent while it runs; a guess where a run or a capture has no known end."""
    duration_ns = UNENDING_NS if scenario.run.duration is None else scenario.run.duration
    frames = 0
    for traffic in scenario.traffic:
        stop_ns = duration_ns if traffic.stop is None else min(traffic.stop, duration_ns)
        # Poisson sends more than its mean now and then; a quarter and a thousand more it does not.
        wanted = int(traffic.rate_pps * max(stop_ns - traffic.start, 0) / UNITS_NS["s"] * 1.25) + 1000
        frames += wanted if traffic.packets is None else min(wanted, traffic.packets)
    if scenario.capture is not None:
        frames += CAPTURE_FRAMES * scenario.capture.repeat
    return frames


def _number(scenario: Scenario, sysctl: str, default: int) -> int:
    """The value that `[set]` gives to a sysctl of net.core, however it is spelled; the default if it is no number."""
    for key, value in scenario.set.items():
        if key.replace("/", ".").removeprefix(".proc.sys.") == f"net.core.{sysctl}":
            return _whole(value, default)
    return default


def _whole(value: str | int, default: int) -> int:
    try:
        return int(value) if len(str(value)) < 24 else default
    except ValueError:
        return default
