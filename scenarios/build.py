"""From a scenario to a machine: CPUs, NIC, settings, sources, sockets and applications.

Leaves out: running it (`scenarios.run`) and looking at it (`scenarios.observe`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import cycle
from typing import Final

from cpus import topology
from emu.clock import NEVER
from emu.commands import Commands, apply_setting
from emu.errors import CaptureError, ConfigError, ControlError
from emu.headers import HeaderTable
from emu.profiles import profile_for
from emu.rules import rules_for
from netstack import controls as netstack_controls
from netstack.stack import NetStack
from nic import controls as nic_controls
from nic import ethtool
from nic.features import SWITCHES
from nic.nic import Nic
from nic.rss import Rss
from nic.vector import VectorMatrix
from nic.wire import Wire
from scenarios.applications import AppThread
from scenarios.cpusets import cpu_nodes, isolated_mask, vector_masks
from scenarios.damage import DamagedSource
from scenarios.flows import FlowSet
from scenarios.machine import Machine
from scenarios.origin import Origin, SettingPath
from scenarios.playback import Playback, Recording, load_recording
from scenarios.rate import Rates
from scenarios.schema import Capture, Scenario, Traffic
from scenarios.sizes import FixedSize, Sizes, WeightedSizes, named_sizes
from scenarios.sockets import open_applications
from scenarios.sources import Source, SyntheticSource, traffic_rng
from scenarios.taskset import Taskset
from scenarios.timing import ConstantRate, OnOff, Poisson, Timing
from scenarios.user import User
from softirq import controls as softirq_controls
from softirq.device import NetDevice

LOCAL_MAC: Final = b"\x02\x00\x00\x00\x00\x01"
PEER_MAC: Final = b"\x02\x00\x00\x00\x00\x02"
LOCAL_ADDRESSES: Final = {4: "10.0.0.1", 6: "fd00::1"}
PEER_ADDRESSES: Final = {4: "10.1.0.0/16", 6: "fd01::/64"}
RSS_KEY_BYTES: Final = 52
DEFAULT_DURATION_NS: Final = 100_000_000


@dataclass
class Built:
    """A machine ready to run, and what was learned while building it."""

    scenario: Scenario
    seed: int
    machine: Machine
    nic: Nic
    stack: NetStack
    recording: Recording | None
    user: User
    until_ns: int
    """Virtual time of the end; NEVER if the run ends by itself."""
    threads: list[AppThread] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Sentences for the user: what a capture's sides are, what was left out."""


def build(scenario: Scenario, origin: Origin, seed: int, machine_class: type[Machine] = Machine) -> Built:
    """Build the machine that `scenario` describes. Raises ConfigError with file, line and key, or CaptureError."""
    profile = profile_for(scenario.machine.costs)
    if scenario.machine.clock_ghz is not None:
        profile = replace(profile, clock_ghz=scenario.machine.clock_ghz)
    machine = machine_class(
        nodes=cpu_nodes(scenario.machine),
        rules=rules_for(scenario.machine.rules),
        hz=scenario.machine.hz,
        costs=profile.resolve(scenario.machine.prices),
        seed=seed,
        isolated=isolated_mask(scenario.machine),
    )
    table = HeaderTable()
    recording = _load(scenario.capture, origin, table) if scenario.capture is not None else None
    dev = NetDevice(scenario.nic.name, LOCAL_MAC, scenario.queues)
    dev.local_addresses = {ip_address(address).packed for address in LOCAL_ADDRESSES.values()}
    if recording is not None:
        dev.local_addresses.update(recording.sides.addresses)
        if recording.sides.mac is not None:
            dev.address = recording.sides.mac
    dev.promiscuous = scenario.nic.promiscuous
    for feature in SWITCHES.values():
        setattr(dev, feature, getattr(scenario.nic, feature))
    dev.speed_mbps = round(scenario.nic.speed_gbps * 1000)
    machine.net.devices[dev.name] = dev
    stack = NetStack(machine.net, machine.random("socket tables").getrandbits(32))
    host_key = machine.random("rss key").randbytes(RSS_KEY_BYTES)
    nic = _build_nic(scenario, origin, machine, dev, Wire(_sources(scenario, recording, table, dev, seed)), host_key)
    softirq_controls.contribute_device(machine.tree, machine.net, dev)
    netstack_controls.contribute(machine.tree, stack)
    nic_controls.contribute(machine.tree, machine.irqs, nic)
    nic_controls.contribute_rss_key(machine.tree, host_key)
    model_name = f"softnet CPU of the cost profile {profile.name} @ {profile.clock_ghz:.2f}GHz"
    topology.contribute_cpuinfo(machine.tree, machine.cpus, model_name, profile.clock_ghz)
    commands = Commands(machine.tree)
    Rates(scenario, nic).register(commands)
    ethtool.register(commands, [nic])
    _apply_settings(scenario, origin, commands)
    threads = open_applications(scenario, machine, stack, recording)
    Taskset(machine, [thread.process for thread in threads]).register(commands)
    user = User(machine.user_rank, machine.clock, commands, machine.net.events, machine.hotplug)
    machine.add(user)
    _schedule(scenario, origin, user)
    notes = [*origin.notes, *(recording.sentences() if recording is not None else ())]
    return Built(scenario, seed, machine, nic, stack, recording, user, _end_ns(scenario), threads, notes)


def _load(capture: Capture, origin: Origin, table: HeaderTable) -> Recording:
    path = origin.capture_path(capture.file)
    try:
        return load_recording(path, table, capture.local)
    except CaptureError as error:
        words = str(error)
        if ("capture", "file") in origin.options:  # then the place is the capture's own name
            words = words.removeprefix(f"{path}: ")
        raise CaptureError(f"{origin.where(('capture', 'file'))}: {words}") from error
    except ConfigError as error:
        raise origin.error(("capture", "local"), str(error)) from error


def _build_nic(
    scenario: Scenario, origin: Origin, machine: Machine, dev: NetDevice, wire: Wire, host_key: bytes
) -> Nic:
    wanted = scenario.nic
    rss = Rss(scenario.rss_key or host_key, scenario.queues)
    for flow_type in ("tcp4", "udp4", "tcp6", "udp6"):
        rss.set_fields(flow_type, getattr(wanted.rx_flow_hash, flow_type))
    if wanted.weights is not None:
        rss.set_weights(wanted.weights)
    elif wanted.indirection is not None:
        rss.set_indirection([queue for queue, _ in zip(cycle(wanted.indirection), rss.indirection, strict=False)])
    nic = Nic(
        machine.rank(),
        machine.net,
        machine.cpus,
        VectorMatrix(machine.cpus),
        dev,
        wire,
        rss,
        vectors=scenario.vectors,
        descriptors=wanted.ring,
        rx_usecs=wanted.rx_usecs,
        adaptive_rx=wanted.adaptive_rx,
        node=wanted.node,
        irqs=wanted.irqs,
    )
    nic.affinity_masks = vector_masks(scenario)
    for index, mask in enumerate(nic.affinity_masks):
        try:
            nic.set_affinity(index, mask)
        except ControlError as error:
            raise origin.error(("nic", "affinity"), f"vector {index}: {error.message}") from error
    for napi in dev.napis:
        napi.weight = wanted.weight
    machine.add(nic)
    machine.hotplug.on_dead.append(lambda dead, _: nic.cpu_offline(dead.index, dead.local_now_ns))
    machine.hotplug.on_online.append(lambda cpu: nic.cpu_online(cpu.index))
    return nic


def _apply_settings(scenario: Scenario, origin: Origin, commands: Commands) -> None:
    """Run `ethtool`, then write `[set]`, each in the file's order, as the kernel would take it."""
    path: SettingPath
    for index, line in enumerate(scenario.ethtool):
        path = ("ethtool", index)
        if line.split()[:1] == ["ethtool"]:
            raise origin.error(path, "write what comes behind the word ethtool")
        try:
            commands.run(f"ethtool {line}")
        except ControlError as error:
            raise origin.error(path, f"{error.errno_name}: {error.message}") from error
    for key, value in scenario.set.items():
        path = ("set", key)
        try:
            apply_setting(commands.tree, key, value)
        except ControlError as error:
            words = error.message.removeprefix(f"{commands.tree.resolve(key)}: ")
            raise origin.error(path, f"{error.errno_name}: {words}") from error


def _schedule(scenario: Scenario, origin: Origin, user: User) -> None:
    """Hand the commands of `[[at]]` to the user. What is no command is told now; what is refused, when it is run."""
    for index, at in enumerate(scenario.at):
        for place, line in enumerate(at.do):
            path: SettingPath = ("at", index, "do", place)
            try:
                user.schedule(int(at.time), line, f"{origin.where(path)}: at {at.time}, {line!r}")
            except ControlError as error:
                raise origin.error(path, f"{error.errno_name}: {error.message}") from error


# -------------------------------------------------------------------- traffic


def _sources(
    scenario: Scenario, recording: Recording | None, table: HeaderTable, dev: NetDevice, seed: int
) -> list[Source]:
    sources: list[Source] = [
        _synthetic(scenario, index, traffic, table, dev, seed) for index, traffic in enumerate(scenario.traffic)
    ]
    if scenario.capture is not None and recording is not None:
        sources.append(_playback(scenario, scenario.capture, recording))
    return sources


def _playback(scenario: Scenario, capture: Capture, recording: Recording) -> Playback:
    return Playback(
        recording,
        speed=1.0 if capture.speed is None else capture.speed,
        pps=capture.rate_pps,
        repeat=capture.repeat,
        spread=capture.spread,
        line_gbps=scenario.nic.speed_gbps,
        where="capture",
    )


def _synthetic(
    scenario: Scenario, index: int, traffic: Traffic, table: HeaderTable, dev: NetDevice, seed: int
) -> Source:
    name = scenario.traffic_name(index)
    flows = FlowSet(
        table,
        traffic_rng(seed, name, "counters"),
        protocol=traffic.protocol,
        count=traffic.flows,
        sources=traffic.src or PEER_ADDRESSES[traffic.ip],
        destinations=[(traffic.dst or LOCAL_ADDRESSES[traffic.ip], port) for port in traffic.dst_ports],
        first_port=traffic.src_port,
        zipf=traffic.zipf_s if traffic.shares == "zipf" else None,
        dst_mac=dev.address,
        src_mac=PEER_MAC,
        tcp_timestamps=traffic.tcp_timestamps,
        where=name,
    )
    trains = traffic.pattern == "trains"
    source = SyntheticSource(
        flows,
        _timing(traffic, traffic_rng(seed, name, "times"), name),
        _sizes(traffic, traffic_rng(seed, name, "sizes"), name),
        traffic_rng(seed, name, "flows"),
        start_ns=int(traffic.start),
        stop_ns=NEVER if traffic.stop is None else int(traffic.stop),
        max_packets=traffic.packets,
        line_gbps=scenario.nic.speed_gbps,
        train_frames=traffic.train if trains else 1,
        where=name,
    )
    return DamagedSource(source, traffic.damaged, traffic_rng(seed, name, "damage")) if traffic.damaged else source


def _timing(traffic: Traffic, rng: random.Random, where: str) -> Timing:
    if traffic.pattern == "poisson":
        return Poisson(traffic.rate_pps, rng, where)
    if traffic.pattern == "trains":
        return Poisson(traffic.rate_pps / traffic.train, rng, where)
    steady = ConstantRate(traffic.rate_pps, where)
    if traffic.pattern == "constant":
        return steady
    return OnOff(steady, int(traffic.on), int(traffic.off), rng if traffic.random_bursts else None, where)


def _sizes(traffic: Traffic, rng: random.Random, where: str) -> Sizes:
    smallest = traffic.smallest_size_bytes
    if isinstance(traffic.sizes, str):
        return named_sizes(traffic.sizes, rng, smallest, where)
    if traffic.sizes is not None:
        return WeightedSizes(list(traffic.sizes), rng, where)
    return FixedSize(smallest if traffic.size is None else traffic.size, where)


def _end_ns(scenario: Scenario) -> int:
    """The run's end: as told; by itself if everything that happens ends; else after a while."""
    if scenario.run.duration is not None:
        return int(scenario.run.duration)
    endless_traffic = any(traffic.stop is None and traffic.packets is None for traffic in scenario.traffic)
    endless_apps = any(app.kind in ("busy", "burner") for app in scenario.app)
    return DEFAULT_DURATION_NS if endless_traffic or endless_apps else NEVER
