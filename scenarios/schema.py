"""The schema of a scenario: every key a scenario file may have, its range, its default and the knob it mirrors.

Models: the machine, its NIC, kernel settings, traffic, a capture, applications and the run, as frozen structs. Settings
keep the kernel's names. A struct that exists has the right keys, types and ranges; what contradicts itself across keys is
found by `scenarios/checks.py`, and both are worded for people, with file and line, by `scenarios/load.py`.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from emu.costs import MAX_PRICE
from emu.profiles import DEFAULT_PROFILE
from emu.rules import DEFAULT_RELEASE
from emu.settings import SOCK_MIN_RCVBUF_BYTES
from scenarios.durations import Duration
from scenarios.flows import FIRST_SOURCE_PORT, MAX_FLOWS, MAX_ZIPF_EXPONENT
from scenarios.sizes import MIN_SIZE_BYTES
from scenarios.sources import MAX_TRAIN_FRAMES

MAX_CPUS: Final = 256
MAX_NODES: Final = 64
MAX_QUEUES: Final = 256
MAX_FRAME_SIZE_BYTES: Final = 9018
"""A jumbo frame of 9000 bytes of IP, with Ethernet header and FCS."""
MAX_SOURCES: Final = 64
MAX_APPS: Final = 256

MS: Final = 1_000_000

Port = Annotated[int, Meta(ge=1, le=65535)]
CpuSet = Annotated[str, Meta(min_length=1, max_length=1024, description='a CPU list such as "0-3,8"')]
"""A CPU list (`0-3,8`), or a hexadecimal mask behind `0x` (`0xff,00000000`)."""
CpuNumber = Annotated[int, Meta(ge=0, le=MAX_CPUS - 1, description="a CPU number")]
IrqNumber = Annotated[int, Meta(ge=1, le=99_999_999, description="an interrupt number")]
FrameSize = Annotated[int, Meta(ge=MIN_SIZE_BYTES, le=MAX_FRAME_SIZE_BYTES)]
"""Bytes of an Ethernet frame with its 4 bytes of FCS."""
Weight = Annotated[float, Meta(ge=0, le=1_000_000)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
PathName = Annotated[str, Meta(min_length=1, max_length=4096)]
Words = Annotated[str, Meta(max_length=4000)]
Rate = Annotated[float, Meta(ge=0.001, le=200_000_000)]
"""Frames a virtual second."""
HashFields = Annotated[
    str,
    Meta(
        pattern=r"\A(?=[sdfn]+\Z)(?!.*(.).*\1)[sdfn]+\Z",
        description="letters out of sdfn, each at most once",
    ),
]
"""Letters of `ethtool -N IF rx-flow-hash`: s and d are the addresses, f and n the ports."""


class About(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[scenario]`: what it is, for people."""

    name: Name = ""
    """Shown on the screen; the file's name if empty."""
    description: Words = ""
    """One sentence, shown by `softnet scenarios`."""
    look_for: Words = ""
    """What to look for on the screen and in the counters."""


class Machine(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[machine]`: CPUs, kernel release and prices."""

    tree: PathName | None = None
    """Directory with /proc and /sys of a real machine, copied by collect.sh, or of one exported: CPUs, NIC and settings are as
    there where this file does not say otherwise. Relative to the scenario file; `--tree` overrides."""
    cpus: Annotated[int, Meta(ge=1, le=MAX_CPUS)] = 4
    """Possible and, at the start, online CPUs."""
    nodes: (
        Annotated[int, Meta(ge=1, le=MAX_NODES)]
        | Annotated[tuple[CpuSet, ...], Meta(min_length=1, max_length=MAX_NODES)]
    ) = 1
    """NUMA nodes: how many, and CPUs are dealt in blocks, as evenly as they go, at most one node per CPU; or the CPU list of
    each node (`["0,2", "1,3"]`), every CPU on one of them."""
    isolated: CpuSet | None = None
    """CPUs apart from the rest (`isolcpus=`): RPS masks leave them out, and applications that are not told where to run."""
    rules: str = DEFAULT_RELEASE
    """Kernel release whose rules hold: one of `emu.rules.RULES`."""
    hz: Literal[100, 250, 300, 1000] = 250
    """CONFIG_HZ: a jiffy is 1/hz s; netdev_budget_usecs starts at two of them."""
    costs: str = DEFAULT_PROFILE
    """Cost profile: one of `emu.profiles.PROFILES`."""
    clock_ghz: Annotated[float, Meta(ge=0.1, le=20)] | None = None
    """Clock of the CPUs in GHz; the profile's if None. Prices in cycles follow it, those in ns do not."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    """Seed of all randomness; drawn, and printed, if None. `--seed` overrides."""
    prices: dict[str, Annotated[float, Meta(ge=0, le=MAX_PRICE)]] = {}
    """Price -> ns (ps for those in `_ps`), in place of the profile's: names of `emu.costs.PRICE_NAMES`."""

    @property
    def node_count(self) -> int:
        """NUMA nodes."""
        return self.nodes if isinstance(self.nodes, int) else len(self.nodes)


class RxFlowHash(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[nic.rx_flow_hash]`: the fields RSS hashes per protocol, as `ethtool -N IF rx-flow-hash`."""

    tcp4: HashFields = "sdfn"
    udp4: HashFields = "sdfn"
    tcp6: HashFields = "sdfn"
    udp6: HashFields = "sdfn"


class Nic(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[nic]`: one multi-queue NIC in the manner of ice."""

    name: Annotated[
        str, Meta(pattern=r"\A[A-Za-z0-9_.:@-]{1,15}\Z", description="1 to 15 letters, digits and any of _.:@-")
    ] = "eth0"
    """The interface's name, in /sys/class/net."""
    queues: Annotated[int, Meta(ge=1, le=MAX_QUEUES)] | None = None
    """RX queues (`ethtool -L combined`); one per CPU if None."""
    vectors: Annotated[int, Meta(ge=1, le=MAX_QUEUES)] | None = None
    """MSI-X vectors, at most one per queue; queue q is on vector q mod vectors. One per queue if None."""
    irqs: Annotated[tuple[IrqNumber, ...], Meta(max_length=MAX_QUEUES)] = ()
    """Interrupt numbers of the first vectors, each once; those of others count up from there, and from 32 without any."""
    ring: Annotated[int, Meta(ge=64, le=8160)] = 2048
    """RX descriptors a queue (`ethtool -G rx`), a multiple of 32."""
    rx_usecs: Annotated[int, Meta(ge=0, le=8160)] = 50
    """Interrupt moderation in us (`ethtool -C rx-usecs`), even; the value used while adaptive_rx is off."""
    adaptive_rx: bool = True
    """Adaptive interrupt moderation (`ethtool -C adaptive-rx`)."""
    rss_key: (
        Annotated[
            str,
            Meta(
                pattern=r"\A(?:[0-9A-Fa-f]{2}:?)*[0-9A-Fa-f]{2}\Z",
                max_length=200,
                description="40 or 52 bytes in hexadecimal",
            ),
        ]
        | None
    ) = None
    """Toeplitz key, 40 or 52 bytes in hexadecimal (`ethtool -X hkey`); drawn from the seed if None."""
    rx_flow_hash: RxFlowHash = RxFlowHash()
    """Hash fields per protocol."""
    indirection: (
        Annotated[tuple[Annotated[int, Meta(ge=0, le=MAX_QUEUES - 1)], ...], Meta(min_length=1, max_length=4096)] | None
    ) = None
    """RSS indirection table: queues, repeated over the NIC's table. Entry i is i mod queues if None."""
    weights: Annotated[tuple[Annotated[int, Meta(ge=0, le=4096)], ...], Meta(min_length=1, max_length=256)] | None = (
        None
    )
    """Weight of each queue from 0 on (`ethtool -X weight`); in place of `indirection`."""
    speed_gbps: Annotated[float, Meta(ge=0.001, le=400)] = 25
    """Speed of the wire in Gbit/s."""
    promiscuous: bool = False
    """Frames to other MAC addresses are taken."""
    rx_checksum: bool = True
    """`ethtool -K rx`: the NIC verifies checksums."""
    rxhash: bool = True
    """`ethtool -K rxhash`: the NIC hands its hash to the skb."""
    gro: bool = True
    """`ethtool -K gro`: generic receive offload."""
    rx_gro_list: bool = False
    """`ethtool -K rx-gro-list`: GRO chains packets in place of merging them."""
    rx_udp_gro_forwarding: bool = False
    """`ethtool -K rx-udp-gro-forwarding`: GRO merges UDP that no socket asked to be merged."""
    rx_vlan_offload: bool = True
    """`ethtool -K rxvlan`: the NIC strips VLAN tags."""
    ntuple: bool = False
    """`ethtool -K ntuple`: flow rules may be made, which accelerated RFS needs."""
    weight: Annotated[int, Meta(ge=1, le=1024)] = 64
    """NAPI weight: frames a poll may take."""
    node: Annotated[int, Meta(ge=0, le=MAX_NODES - 1)] = 0
    """NUMA node whose memory the rings are in."""
    affinity: CpuSet | Annotated[tuple[CpuNumber | CpuSet, ...], Meta(min_length=1, max_length=MAX_QUEUES)] = "spread"
    """smp_affinity of the vectors: "spread" (vector n on CPU n mod cpus), a CPU list for all (`"0"`), or a list with one
    CPU number or CPU list per vector, repeated if it is shorter."""


class Traffic(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[[traffic]]`: a source of synthetic frames to this machine's address. Its random streams hang on its name."""

    name: Name = ""
    """Shown, and part of the seed of its streams; `traffic0`, `traffic1`... if empty. Unique."""
    protocol: Literal["udp", "tcp"] = "udp"
    ip: Literal[4, 6] = 4
    pattern: Literal["constant", "poisson", "onoff", "trains"] = "poisson"
    """constant: equal gaps. poisson: independent arrivals. onoff: equal gaps for `on`, silence for `off`. trains: `train`
    frames of one flow back to back at wire speed, the trains by Poisson."""
    rate_pps: Rate
    """Frames a second: on average, for onoff while it is on."""
    flows: Annotated[int, Meta(ge=1, le=MAX_FLOWS)] = 1
    """Different 5-tuples."""
    shares: Literal["equal", "zipf"] = "equal"
    """How likely each flow is: all the same, or 1 / rank**zipf_s."""
    zipf_s: Annotated[float, Meta(ge=0.01, le=MAX_ZIPF_EXPONENT)] = 1.0
    """Exponent of Zipf's law."""
    size: FrameSize | None = None
    """Bytes of every frame with FCS; the smallest that holds the headers if neither it nor `sizes` is given."""
    sizes: (
        Literal["imix", "trimodal"] | Annotated[tuple[tuple[FrameSize, Weight], ...], Meta(min_length=1, max_length=64)]
    ) | None = None
    """Distribution of sizes: [[bytes, weight], ...] or the name of a mix."""
    on: Duration = Duration(1 * MS)
    """onoff: how long it sends."""
    off: Duration = Duration(9 * MS)
    """onoff: how long it is silent."""
    random_bursts: bool = False
    """onoff: `on` and `off` are means of exponential durations."""
    train: Annotated[int, Meta(ge=2, le=MAX_TRAIN_FRAMES)] = 16
    """trains: frames in one."""
    start: Duration = Duration(0)
    """Virtual time of its beginning."""
    stop: Duration | None = None
    """Virtual time from which it sends no more; never if None."""
    packets: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    """It ends after so many frames; never if None."""
    src: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """Sender: an address, a network (`10.1.0.0/16`) or a range (`10.1.0.1-10.1.0.9`); some of its own if None."""
    src_port: Annotated[int, Meta(ge=FIRST_SOURCE_PORT, le=65535)] = 32768
    """First source port."""
    dst: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    """Destination, an address; this machine's own if None. What is sent to another one ends behind ip_rcv (InAddrErrors)."""
    dst_port: Port | Annotated[tuple[Port, ...], Meta(min_length=1, max_length=1024)] = 5001
    """Destination port, or several that the flows are dealt to in turn."""
    tcp_timestamps: bool = False
    """TCP frames carry the timestamp option."""
    damaged: Annotated[float, Meta(ge=0, le=1)] = 0
    """Part of the frames that arrive with a wrong check sequence (FCS): the NIC counts and drops them."""

    @property
    def dst_ports(self) -> tuple[int, ...]:
        """The destination ports as a tuple."""
        return (self.dst_port,) if isinstance(self.dst_port, int) else self.dst_port

    @property
    def header_bytes(self) -> int:
        """Ethernet, IP and transport header of its frames, without FCS."""
        transport = 8 if self.protocol == "udp" else 32 if self.tcp_timestamps else 20
        return 14 + (20 if self.ip == 4 else 40) + transport

    @property
    def smallest_size_bytes(self) -> int:
        """The smallest frame that holds its headers, with FCS: 64 at least."""
        return max(MIN_SIZE_BYTES, self.header_bytes + 4)


class Capture(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[capture]`: recorded frames, played open-loop."""

    file: PathName
    """pcap or pcapng, relative to the scenario file; or the name of a built-in capture (`mixed`)."""
    speed: Annotated[float, Meta(ge=0.000_001, le=1_000_000)] | None = None
    """Factor on the recorded pace; 1 if neither it nor rate_pps is given."""
    rate_pps: Rate | None = None
    """Fixed rate in frames a second in place of the recorded times."""
    repeat: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """How many times it is played."""
    spread: Annotated[int, Meta(ge=1, le=MAX_FLOWS)] = 1
    """Each recorded flow is spread over so many senders' addresses."""
    local: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...], Meta(max_length=64)] = ()
    """Local addresses; if empty the one that receives most bytes. `--local` overrides."""


class App(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[[app]]`: an application that reads, or only burns, CPU time."""

    name: Name = ""
    """Shown; its kind and number if empty. Unique."""
    kind: Literal["sink", "reader", "busy", "burner"] = "sink"
    """sink: takes each message in softirq and forgets it, without a thread. reader: a thread that reads and works on each message
    (work_ns...). busy: a reader that never sleeps but polls its socket. burner: no socket, computes all the time."""
    protocol: Literal["udp", "tcp"] | None = None
    port: Port | Annotated[tuple[Port, ...], Meta(min_length=1, max_length=1024)] | None = None
    """Port or ports it listens on, with `protocol`; none for a burner."""
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1
    sockets: Literal["shared", "each"] = "shared"
    """Several threads on one socket, or one socket each (SO_REUSEPORT)."""
    cpus: CpuNumber | CpuSet | Annotated[tuple[CpuNumber | CpuSet, ...], Meta(min_length=1, max_length=1024)] | None = (
        None
    )
    """Where it may run, as taskset: a CPU or a CPU list for all threads, or a list with one per thread, repeated if it is
    shorter. Anywhere if None."""
    rcvbuf: Annotated[int, Meta(ge=SOCK_MIN_RCVBUF_BYTES // 2, le=2**30)] | None = None
    """SO_RCVBUF in bytes as the application sets it: the kernel caps it at rmem_max, then doubles it. rmem_default if
    None."""
    batch: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Messages a system call takes at most (recvmmsg)."""
    work_ns: Annotated[int, Meta(ge=0, le=10**9)] = 0
    """Time it works on each message, in ns."""
    work_ns_per_byte: Annotated[float, Meta(ge=0, le=1_000_000)] = 0
    """Time it works on each byte, in ns."""
    weight: Annotated[int, Meta(ge=15, le=88761)] = 1024
    """Weight for the scheduler: 1024 is nice 0, 15 is nice 19, 88761 is nice -20."""
    connected: bool = False
    """UDP: the socket is connected to its first sender."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports as a tuple; empty for a burner."""
        return () if self.port is None else (self.port,) if isinstance(self.port, int) else self.port


Line = Annotated[str, Meta(min_length=1, max_length=1000, description="a command, as at a shell's prompt")]


class At(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[[at]]`: commands at a virtual time. Those of one time are run in the file's order."""

    time: Duration
    """When: after everything else that happens at that nanosecond."""
    do: Annotated[tuple[Line, ...], Meta(min_length=1, max_length=1000)]
    """Command lines, as on the live screen: `echo f > /sys/...`, `sysctl -w NAME=VALUE`, `ethtool -L eth0 combined 2`."""


class Run(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[run]`: how long, and how fast on the screen."""

    duration: Duration | None = None
    """Virtual time at which the run ends. If None it ends when all traffic is over and read, or at 100 ms if some source
    never ends."""
    warmup: Duration = Duration(0)
    """Virtual time left out of rates and comparisons; counters count from 0 all the same."""
    speed: Annotated[float, Meta(ge=0.000_000_1, le=1_000)] | None = None
    """Pace of the live screen: virtual seconds a wall second. Unpaced if None or without a screen."""


class Scenario(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A whole scenario, as one file says it."""

    scenario: About = About()
    machine: Machine = Machine()
    nic: Nic = Nic()
    set: dict[Annotated[str, Meta(min_length=1, max_length=300)], Annotated[str, Meta(max_length=1000)] | int] = {}
    """Control file or sysctl -> value, written before the first frame, in the file's order."""
    ethtool: Annotated[tuple[Line, ...], Meta(max_length=1000)] = ()
    """What `ethtool` is called with before the first frame and before `[set]`, such as "-C eth0 rx-usecs 50"."""
    at: Annotated[tuple[At, ...], Meta(max_length=10_000)] = ()
    traffic: Annotated[tuple[Traffic, ...], Meta(max_length=MAX_SOURCES)] = ()
    capture: Capture | None = None
    app: Annotated[tuple[App, ...], Meta(max_length=MAX_APPS)] = ()
    run: Run = Run()

    @property
    def queues(self) -> int:
        """RX queues, the default filled in."""
        return self.nic.queues if self.nic.queues is not None else self.machine.cpus

    @property
    def vectors(self) -> int:
        """MSI-X vectors, the default filled in."""
        return self.nic.vectors if self.nic.vectors is not None else self.queues

    @property
    def rss_key(self) -> bytes | None:
        """The Toeplitz key as bytes; None if it is to be drawn."""
        key = self.nic.rss_key
        return None if key is None else bytes.fromhex(key.replace(":", ""))

    def traffic_name(self, index: int) -> str:
        """The name of source `index`, the default filled in."""
        return self.traffic[index].name or f"traffic{index}"

    def app_name(self, index: int) -> str:
        """The name of application `index`, the default filled in."""
        return self.app[index].name or f"{self.app[index].kind}{index}"
