"""What contradicts itself in a scenario although every key is right by itself.

Each finding is the path of the key to change and one sentence that says what it clashes with and what would do.
"""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, Final

from emu.costs import PRICE_NAMES
from emu.errors import ConfigError
from emu.profiles import profile_for
from emu.rules import rules_for
from scenarios.cpusets import cpu_nodes, isolated_mask, parse_cpus
from scenarios.durations import Duration
from scenarios.flows import SOURCE_PORTS, parse_range
from scenarios.memory import MAX_MEMORY_BYTES, estimate_bytes
from scenarios.origin import SettingPath
from scenarios.schema import App, Nic, Scenario, Traffic

Finding = tuple[SettingPath, str]

MAX_PACKET_EVENTS: Final = 10**10
"""Frames of a whole run; more would take hours."""
RSS_KEY_BYTES: Final = (40, 52)


def contradictions(scenario: Scenario) -> Iterator[Finding]:
    """Yield what is wrong, the first thing to put right first."""
    yield from _machine(scenario)
    yield from _nic(scenario)
    for index, traffic in enumerate(scenario.traffic):
        yield from _traffic(traffic, ("traffic", index))
    yield from _names(scenario)
    yield from _capture(scenario)
    yield from _apps(scenario)
    yield from _run(scenario)
    yield from _at(scenario)
    estimate = estimate_bytes(scenario)
    total = sum(size for _, _, size in estimate)
    if total > MAX_MEMORY_BYTES:
        path, most, _ = max(estimate, key=lambda part: part[2])
        yield (
            path,
            f"the run could take {total / 2**30:.1f} GiB of memory, most of it for {most}; "
            f"{MAX_MEMORY_BYTES >> 30} GiB is the limit",
        )


def _at(scenario: Scenario) -> Iterator[Finding]:
    end = scenario.run.duration
    for index, at in enumerate(scenario.at):
        if end is not None and at.time > end:
            yield ("at", index, "time"), f"it is at {at.time}, but the run ends at {end}: write an earlier time"


def _machine(scenario: Scenario) -> Iterator[Finding]:
    machine = scenario.machine
    yield from _tried(("machine", "rules"), rules_for, machine.rules)
    yield from _tried(("machine", "costs"), profile_for, machine.costs)
    if machine.node_count > machine.cpus:
        yield ("machine", "nodes"), f"{machine.node_count} nodes, but only {machine.cpus} CPUs: write at most one a CPU"
    yield from _tried(("machine", "nodes"), cpu_nodes, machine)
    yield from _tried(("machine", "isolated"), isolated_mask, machine)
    for name in machine.prices:
        if name not in PRICE_NAMES:
            nearest = get_close_matches(name, PRICE_NAMES, n=1, cutoff=0.0)[0]
            yield ("machine", "prices", name), f"there is no such price; the nearest is {nearest}"


def _nic(scenario: Scenario) -> Iterator[Finding]:
    nic, queues, vectors = scenario.nic, scenario.queues, scenario.vectors
    if nic.name in (".", "..", "lo"):
        words = "is the loopback device" if nic.name == "lo" else "is no file's name in /sys/class/net"
        yield ("nic", "name"), f"{nic.name} {words}: write another name, such as eth0"
    if vectors > queues:
        yield ("nic", "vectors"), f"{vectors} vectors, but only {queues} queues: write at most one a queue"
    if len(set(nic.irqs)) < len(nic.irqs):
        yield ("nic", "irqs"), "a number is given to two vectors"
    if nic.ring % 32:
        below = nic.ring - nic.ring % 32
        yield ("nic", "ring"), f"{nic.ring} is no multiple of 32: write {below} or {min(below + 32, 8160)}"
    if nic.rx_usecs % 2:
        yield ("nic", "rx_usecs"), f"{nic.rx_usecs} is odd, and the NIC counts in 2 us: write {nic.rx_usecs - 1}"
    if nic.node >= scenario.machine.node_count:
        yield ("nic", "node"), f"there is no node {nic.node}: the highest is {scenario.machine.node_count - 1}"
    key = scenario.rss_key
    if key is not None and len(key) not in RSS_KEY_BYTES:
        yield ("nic", "rss_key"), f"{len(key)} bytes: write 40 or 52 bytes in hexadecimal"
    yield from _indirection(nic, queues)
    if nic.affinity != "spread":
        named = [nic.affinity] if isinstance(nic.affinity, str) else list(nic.affinity)
        if not isinstance(nic.affinity, str) and len(named) > vectors:
            yield ("nic", "affinity"), f"{len(named)} CPU lists, but only {vectors} vectors"
        for value in named:
            yield from _tried(("nic", "affinity"), parse_cpus, value, scenario.machine.cpus)


def _indirection(nic: Nic, queues: int) -> Iterator[Finding]:
    if nic.indirection is not None:
        if nic.weights is not None:
            yield ("nic", "weights"), "it fills the table that indirection gives: write one of the two"
        highest = max(nic.indirection)
        if highest >= queues:
            yield ("nic", "indirection"), f"there is no queue {highest}: the highest is {queues - 1}"
    if nic.weights is not None:
        if len(nic.weights) > queues:
            yield ("nic", "weights"), f"{len(nic.weights)} weights, but only {queues} queues"
        if not any(nic.weights):
            yield ("nic", "weights"), "all weights are 0: some queue must get frames"


_ONLY_FOR: Final = (
    ("zipf_s", "shares", "zipf"),
    ("on", "pattern", "onoff"),
    ("off", "pattern", "onoff"),
    ("random_bursts", "pattern", "onoff"),
    ("train", "pattern", "trains"),
    ("tcp_timestamps", "protocol", "tcp"),
)
"""Key of [[traffic]], and the other key's value without which it does nothing."""


def _traffic(traffic: Traffic, path: SettingPath) -> Iterator[Finding]:
    if traffic.stop is not None and traffic.stop <= traffic.start:
        yield (*path, "stop"), f"it stops at {traffic.stop}, but starts at {traffic.start}: stop it later"
    if traffic.size is not None and traffic.sizes is not None:
        yield (*path, "sizes"), "the size is given twice: write size or sizes"
    smallest = traffic.smallest_size_bytes
    what = f"{traffic.protocol} over IPv{traffic.ip} needs {smallest} bytes"
    if traffic.size is not None and traffic.size < smallest:
        yield (*path, "size"), f"{traffic.size} bytes do not hold the headers: {what}"
    if isinstance(traffic.sizes, tuple):
        if not any(weight for _, weight in traffic.sizes):
            yield (*path, "sizes"), "all weights are 0: some size must be sent"
        for index, (size, _) in enumerate(traffic.sizes):
            if size < smallest:
                yield (*path, "sizes", index), f"{size} bytes do not hold the headers: {what}"
    for key, other, value in _ONLY_FOR:
        if getattr(traffic, other) != value and getattr(traffic, key) != _default(Traffic, key):
            yield (*path, key), f'it does nothing without {other} = "{value}"'
    if traffic.pattern == "onoff" and traffic.on == 0:
        yield (*path, "on"), "a burst of no length sends nothing: write 1ns or more"
    ports = traffic.dst_ports
    if len(set(ports)) < len(ports):
        yield (*path, "dst_port"), "a port is named twice"
    addresses = 1 << 16
    if traffic.src is not None:
        try:
            first, addresses = parse_range(traffic.src, "src")
        except ConfigError as error:
            yield (*path, "src"), str(error).removeprefix("src: ").rstrip(".")
        else:
            if first.version != traffic.ip:
                yield (*path, "src"), f"{traffic.src} is not of IPv{traffic.ip}, which ip asks for"
    room = addresses * len(ports) * SOURCE_PORTS
    if traffic.dst is not None:
        try:
            version = ip_address(traffic.dst).version
        except ValueError:
            yield (*path, "dst"), f"{traffic.dst!r} is no IPv4 or IPv6 address, such as 10.0.0.99 or fd00::99"
        else:
            if version != traffic.ip:
                yield (*path, "dst"), f"{traffic.dst} is not of IPv{traffic.ip}, which ip asks for"
    if traffic.flows > room:
        yield (*path, "flows"), f"{traffic.flows} flows, but {traffic.src} has room for {room:,} only"


def _default(table: type[App] | type[Traffic], key: str) -> Any:
    """The value a key of [[app]] or [[traffic]] has when it is not written."""
    fields = table.__struct_fields__
    defaults = table.__struct_defaults__
    return defaults[fields.index(key) - (len(fields) - len(defaults))]


def _names(scenario: Scenario) -> Iterator[Finding]:
    for table, names in (
        ("traffic", [scenario.traffic_name(index) for index in range(len(scenario.traffic))]),
        ("app", [scenario.app_name(index) for index in range(len(scenario.app))]),
    ):
        for index, name in enumerate(names):
            if name in names[:index]:
                yield (table, index, "name"), f"the name {name!r} is taken by {table}[{names.index(name)}]"


def _capture(scenario: Scenario) -> Iterator[Finding]:
    capture = scenario.capture
    if capture is None:
        return
    if capture.speed is not None and capture.rate_pps is not None:
        yield ("capture", "rate_pps"), "the pace is given twice: write speed or rate_pps"
    for index, address in enumerate(capture.local):
        try:
            ip_address(address)
        except ValueError:
            yield ("capture", "local", index), f"{address!r} is no IPv4 or IPv6 address, such as 10.0.0.1 or fd00::1"


def _apps(scenario: Scenario) -> Iterator[Finding]:
    taken: dict[tuple[str, int], int] = {}
    for index, app in enumerate(scenario.app):
        path = ("app", index)
        if app.kind == "burner":
            for key in ("port", "protocol", "rcvbuf"):
                if getattr(app, key) is not None:
                    yield (*path, key), "a burner has no socket: write a reader, or leave it out"
        elif app.port is None:
            yield path, f"a {app.kind} needs the port it listens on: write port = 5001"
        elif app.protocol is None:
            yield (*path, "port"), 'a port without its protocol: write protocol = "udp" or "tcp"'
        else:
            for port in app.ports:
                other = taken.setdefault((app.protocol, port), index)
                if other != index:
                    yield (
                        (*path, "port"),
                        f"{app.protocol} port {port} is taken by app[{other}]: write one app with more threads",
                    )
            if len(set(app.ports)) < len(app.ports):
                yield (*path, "port"), "a port is named twice"
        if app.kind == "busy":
            if app.protocol == "tcp":
                yield (*path, "protocol"), 'a busy reader reads udp only: write protocol = "udp", or kind = "reader"'
            elif len(app.ports) > 1:
                yield (*path, "port"), f'a busy reader reads one port, not {len(app.ports)}: write kind = "reader"'
        if app.kind in ("sink", "burner") and (app.work_ns or app.work_ns_per_byte):
            key = "work_ns" if app.work_ns else "work_ns_per_byte"
            yield (*path, key), f"a {app.kind} does no work on messages: write a reader"
        if app.connected and app.protocol == "tcp":
            yield (*path, "connected"), "a TCP socket is connected anyway: it is for udp"
        if app.cpus is not None:
            named = (app.cpus,) if isinstance(app.cpus, (int, str)) else app.cpus
            if len(named) > app.threads:
                yield (*path, "cpus"), f"{len(named)} CPU lists, but only {app.threads} thread{'s' * (app.threads > 1)}"
            for value in named:
                yield from _tried((*path, "cpus"), parse_cpus, value, scenario.machine.cpus)
        if app.kind == "sink":
            for key in ("threads", "sockets", "cpus", "batch", "weight"):
                if getattr(app, key) != _default(App, key):
                    yield (*path, key), "a sink has no threads, it takes packets in softirq: write a reader"


def _run(scenario: Scenario) -> Iterator[Finding]:
    run = scenario.run
    end = run.duration
    if end is None:
        return
    if end == 0:
        yield ("run", "duration"), "a run of no length shows nothing: write 100ms, for instance"
    if run.warmup >= end > 0:
        yield ("run", "warmup"), f"it is over at {end}, before the warm-up is ({run.warmup})"
    total = 0.0
    for index, traffic in enumerate(scenario.traffic):
        if traffic.start >= end > 0:
            yield ("traffic", index, "start"), f"it starts at {traffic.start}, but the run ends at {end}"
        stop = end if traffic.stop is None else min(end, traffic.stop)
        frames = traffic.rate_pps * Duration(max(stop - traffic.start, 0)) / 10**9
        total += frames if traffic.packets is None else min(frames, traffic.packets)
    if total > MAX_PACKET_EVENTS:
        yield ("run", "duration"), f"{total:.1e} frames would be sent: {MAX_PACKET_EVENTS:.0e} is the most"


def _tried(path: SettingPath, check: Callable[..., object], *arguments: object) -> Iterator[Finding]:
    try:
        check(*arguments)
    except ConfigError as error:
        yield path, str(error)
