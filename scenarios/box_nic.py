"""One interface of a box: queues, vectors and their CPUs, ring, moderation, RSS and features, as [nic] of a scenario."""

from __future__ import annotations

import re
from typing import Any, Final

from emu.cpumask import format_mask
from emu.errors import ConfigError, InputFileError
from nic.features import SWITCHES
from nic.moderation import ITR_GRANULARITY_US, ITR_MAX_US
from nic.nic import MTU_MAX, MTU_MIN
from nic.rss import PF_TABLE_ENTRIES, default_indirection
from scenarios.box_cpus import BoxCpus
from scenarios.box_ethtool import EthtoolTexts
from scenarios.box_files import BoxFiles
from scenarios.box_interrupts import read_interrupts, receive_interrupts
from scenarios.box_settings import BoxSettings
from scenarios.checks import RSS_KEY_BYTES
from scenarios.schema import MAX_QUEUES

NET: Final = "sys/class/net"
MIN_RING: Final = 64
MAX_RING: Final = 8160
RING_STEP: Final = 32
MAX_SPEED_GBPS: Final = 400

_NAME: Final = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
_SAVED: Final = re.compile(rf"({_NAME.pattern})\.[lgckxSi]")
_NOT_MODELLED: Final = {
    "large-receive-offload": "LRO",
    "rx-gro-hw": "GRO in hardware",
    "ntuple-filters": "filters by flow and accelerated RFS",
}


def choose_interface(into: BoxSettings, wanted: str | None) -> str:
    """The interface that is copied: `wanted`, or the only one there is. ConfigError that names them when that is not clear."""
    files = into.files
    known = [
        name for name in files.names(NET) if _NAME.fullmatch(name) and files.numbered(f"{NET}/{name}/queues", "rx-")
    ]
    known += [match[1] for name in files.names("ethtool") if (match := _SAVED.fullmatch(name))]
    candidates = sorted({name for name in known if name not in ("lo", ".", "..")})
    if not candidates:
        raise InputFileError(f"{files.where(NET)}: there is no interface with queues in it ({NET}/IF/queues/rx-0)")
    named = ", ".join(candidates[:20])
    if wanted is not None:
        if wanted not in candidates:
            raise ConfigError(f"{files.where(NET)}: there is no interface {wanted} in it, but {named}")
        return wanted
    if len(candidates) > 1:
        real = [name for name in candidates if files.holds(f"{NET}/{name}/device") or files.holds(f"ethtool/{name}.i")]
        if len(real) != 1:
            raise ConfigError(f"{files.where(NET)}: it has {named}: say which, as in --interface {candidates[0]}")
        candidates = real
    return candidates[0]


def read_nic(into: BoxSettings, cpus: BoxCpus, interface: str, wanted: dict[str, Any]) -> None:
    """Read the settings of `interface`. `wanted` is what the scenario itself says in [nic]: with another number of queues it is
    as after `ethtool -L`. ConfigError, InputFileError."""
    ethtool = EthtoolTexts(into.files, interface)
    driver = ethtool.driver()
    into.is_about.append(f"{interface}{f' ({driver})' if driver else ''}")
    into.put("nic", "name", interface, f"{NET}/{interface}")
    there = _queues(into, ethtool, interface)
    queues = _told(wanted, "queues") or there
    if queues is None:
        into.assumed.append(f"{cpus.count} queues, one per CPU")
        queues = cpus.count
    elif there is not None and queues != there:
        into.differs.append(f"{queues} queues in place of {there}")
    into.is_about.append(f"{queues} queue{'s' * (queues > 1)}")
    into.put("nic", "queues", queues, f"{NET}/{interface}/queues")
    _read_vectors(into, cpus, ethtool, interface, wanted, queues if there is None else there)
    _read_ring(into, ethtool)
    _read_coalescing(into, ethtool)
    _read_features(into, ethtool)
    _read_rss(into, ethtool, queues, "weights" in wanted)
    _read_device(into, cpus, interface)
    _read_steering(into, cpus, interface, queues)


def _told(wanted: dict[str, Any], key: str) -> int | None:
    """The number that the scenario gives; None if there is none, or one that the schema will refuse."""
    value = wanted.get(key)
    return value if type(value) is int and 1 <= value <= MAX_QUEUES else None


def _queues(into: BoxSettings, ethtool: EthtoolTexts, interface: str) -> int | None:
    files = into.files
    path = f"{NET}/{interface}/queues"
    count = len(files.numbered(path, "rx-"))
    if not count:
        files.missing.append(f"{path}/rx-0/rps_cpus")
        count = ethtool.channels() or ethtool.rings_of_table() or 0
    if count > MAX_QUEUES:
        raise ConfigError(f"{files.where(path)}: {count} receive queues, and softnet takes {MAX_QUEUES} at most")
    return count or None


def _read_vectors(
    into: BoxSettings, cpus: BoxCpus, ethtool: EthtoolTexts, interface: str, wanted: dict[str, Any], there: int
) -> None:
    """Vectors and the CPU that each one really interrupts; `there` are the queues of the box."""
    files = into.files
    irqs = frozenset(
        irq
        for place in ("device", "device/..")  # a virtio device hangs below the PCI device
        for irq in files.numbered(f"{NET}/{interface}/{place}/msi_irqs", "")
    )
    found = receive_interrupts(read_interrupts(files), interface, ethtool.bus(), irqs)
    is_told = "affinity" in wanted
    if found.others and not is_told:
        raise ConfigError(
            f"{files.where('proc/interrupts')}: it has receive interrupts of {', '.join(found.others)}, and nothing tells which "
            f"are those of {interface}: add ethtool/{interface}.i or {NET}/{interface}/device/msi_irqs, or write nic.affinity"
        )
    queues: int = into.document["nic"]["queues"]
    irq_of = [interrupt.irq for interrupt in found.interrupts[:queues]]
    shared = 0 < len(found.interrupts) < there
    vectors = _told(wanted, "vectors") or (len(irq_of) if shared else queues)
    into.put("nic", "vectors", vectors, "proc/interrupts")
    into.is_about.append(f"{vectors} vector{'s' * (vectors > 1)}")
    del irq_of[vectors:]
    if irq_of:
        into.put("nic", "irqs", irq_of, "proc/interrupts")
    if is_told:
        return
    if not irq_of:
        into.assumed.append(f"vectors spread over the CPUs (proc/interrupts tells none of {interface})")
    affinity: list[str] = []
    for vector, irq in enumerate(irq_of):
        set_to, effective = _affinity(files, cpus, irq)
        if not effective:
            effective = 1 << cpus.spread(vector)
            into.assumed.append(f"interrupt {irq} on CPU {cpus.spread(vector)}")
        affinity.append(cpus.shown(effective))
        if set_to and set_to != effective:
            # Written once it is on its CPU, a wider mask leaves it there.
            path = f"proc/irq/{irq}/smp_affinity_list"
            into.put("set", f"/{path}", cpus.shown(set_to), path)
    affinity += [str(cpus.spread(vector)) for vector in range(len(affinity), vectors)]
    into.put("nic", "affinity", affinity, f"proc/irq/{irq_of[0]}" if irq_of else "proc/interrupts")


def _affinity(files: BoxFiles, cpus: BoxCpus, irq: int) -> tuple[int, int]:
    """The mask that was set for interrupt `irq`, and the CPUs that it does interrupt; 0 for what is not told."""
    masks: list[int] = []
    for name in ("smp_affinity", "effective_affinity"):
        path = f"proc/irq/{irq}/{name}"
        mask = files.cpu_list(f"{path}_list", is_expected=False)
        if mask is None:
            mask = files.cpu_mask(path, is_expected=False)
        if mask is None:
            files.missing.append(f"{path}_list")
        masks.append(cpus.within(mask or 0))
    set_to, effective = masks[0], masks[1] & cpus.online
    return set_to, effective or set_to & cpus.online


def _read_ring(into: BoxSettings, ethtool: EthtoolTexts) -> None:
    ring = ethtool.ring()
    if ring is None:
        into.assumed.append("2048 descriptors a ring")
        return
    taken = max(MIN_RING, min(ring // RING_STEP * RING_STEP, MAX_RING))
    if taken != ring:
        into.differs.append(f"rings have {taken} descriptors, not {ring}")
    into.put("nic", "ring", taken, ethtool.path("g"))


def _read_coalescing(into: BoxSettings, ethtool: EthtoolTexts) -> None:
    usecs, adaptive = ethtool.rx_usecs(), ethtool.adaptive_rx()
    if usecs is None and adaptive is None:
        into.assumed.append("adaptive interrupt moderation")
        return
    into.put("nic", "adaptive_rx", bool(adaptive), ethtool.path("c"))
    if usecs is None:
        into.assumed.append("rx-usecs 50")
        return
    taken = min(usecs // ITR_GRANULARITY_US * ITR_GRANULARITY_US, ITR_MAX_US)
    if taken != usecs:
        into.differs.append(f"rx-usecs is {taken}, not {usecs}")
    into.put("nic", "rx_usecs", taken, ethtool.path("c"))


def _read_features(into: BoxSettings, ethtool: EthtoolTexts) -> None:
    features = ethtool.features()
    if not features:
        into.assumed.append("checksums, hashes and GRO on")
    for name, key in SWITCHES.items():
        if name in features:
            into.put("nic", key, features[name], ethtool.path("k"))
    on = [words for name, words in _NOT_MODELLED.items() if features.get(name)]
    if on:
        into.differs.append(f"without {', '.join(on)}")


def _read_rss(into: BoxSettings, ethtool: EthtoolTexts, queues: int, is_weighted: bool) -> None:
    key = ethtool.key()
    if key is not None and len(key) >= min(RSS_KEY_BYTES):
        # What lies behind the longest input changes no hash.
        length = max(size for size in RSS_KEY_BYTES if size <= len(key))
        into.put("nic", "rss_key", key[:length].hex(":"), ethtool.path("x"))
    elif queues > 1:
        into.assumed.append("an RSS key drawn from the seed")
    others = [name for name in ethtool.hash_functions() if name != "toeplitz"]
    if others and queues > 1:
        into.differs.append(f"RSS hashes by toeplitz, not {', '.join(others)}")
    table = ethtool.indirection()
    if table is None:
        if queues > 1:
            into.assumed.append("an even indirection table")
    elif max(table) < queues and not is_weighted and table != default_indirection(len(table), queues):
        into.put("nic", "indirection", table, ethtool.path("x"))
    if table is not None and PF_TABLE_ENTRIES % len(table):
        into.differs.append(f"an indirection table of {PF_TABLE_ENTRIES} entries, not {len(table)}")
    fields = ethtool.hash_fields()
    if fields:
        into.put("nic", "rx_flow_hash", fields, ethtool.path("n"))
    elif queues > 1:
        into.assumed.append("RSS hashes addresses and ports of TCP and UDP")


def _read_device(into: BoxSettings, cpus: BoxCpus, interface: str) -> None:
    files = into.files
    base = f"{NET}/{interface}"
    node = files.number(f"{base}/device/numa_node", is_expected=False)
    if node is None:
        node = files.number(f"{base}/device/../numa_node", is_expected=False)
    if node in cpus.node_numbers:
        into.put("nic", "node", cpus.node_numbers[node], f"{base}/device/numa_node")
    elif len(cpus.node_numbers) > 1:
        into.assumed.append(f"{interface} on node 0")
    mbps = files.number(f"{base}/speed")
    if mbps is None or mbps <= 0:
        into.assumed.append("25 Gbit/s")
    else:
        gbps = min(mbps / 1000, MAX_SPEED_GBPS)
        if gbps != mbps / 1000:
            into.differs.append(f"{gbps} Gbit/s, not {mbps / 1000:g}")
        into.put("nic", "speed_gbps", gbps, f"{base}/speed")
    mtu = files.number(f"{base}/mtu")
    if mtu is not None:
        taken = max(MTU_MIN, min(mtu, MTU_MAX))
        if taken != mtu:
            into.differs.append(f"an MTU of {taken}, not {mtu}")
        into.put("set", f"/{base}/mtu", str(taken), f"{base}/mtu")
    for name in ("gro_flush_timeout", "napi_defer_hard_irqs", "threaded"):
        value = files.number(f"{base}/{name}")
        if value:
            into.put("set", f"/{base}/{name}", str(value), f"{base}/{name}")


def _read_steering(into: BoxSettings, cpus: BoxCpus, interface: str, queues: int) -> None:
    """RPS masks and RFS tables of the queues; those that are off are as a machine begins."""
    files = into.files
    there = files.numbered(f"{NET}/{interface}/queues", "rx-")
    for queue in there:
        if queue >= queues:
            continue
        path = f"{NET}/{interface}/queues/rx-{queue}"
        mask = cpus.within(files.cpu_mask(f"{path}/rps_cpus") or 0)
        if mask:
            into.put("set", f"/{path}/rps_cpus", format_mask(mask, cpus.count), f"{path}/rps_cpus")
        count = files.number(f"{path}/rps_flow_cnt")
        if count:
            into.put("set", f"/{path}/rps_flow_cnt", str(count), f"{path}/rps_flow_cnt")
    if not there:
        into.assumed.append("no RPS and RFS")
