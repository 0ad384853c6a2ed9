"""trace.json: the order of kernel functions and events for one packet on several ways through.

The emulator is watched from outside, by Python's profiler hook: nothing in it knows of traces. A function of the emulator stands
for the kernel's of the same name (docs/architecture.md); what the kernel traced and the emulator has no function for is left out,
as is what a list of packets or a remembered flow may do in another order. Each CPU's own order is judged, and across CPUs that an
interrupt follows the IPI that caused it (K6): everything else between CPUs is a race.
"""

from __future__ import annotations

import re
import sys
from types import CodeType, FrameType
from typing import Any, Final

import msgspec

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from emu.clock import Clock
from emu.headers import HeaderTable
from netstack.ip_input import IpInput
from netstack.udp_sock import UdpSocket
from nic.driver import IceNapi
from nic.hand_device import NAPI_GRO_RECEIVE, NETIF_RECEIVE_SKB, NETIF_RX, Fire, HandNapi
from nic.vector import Irq
from scenarios.conform.load import Recording
from scenarios.conform.replay import Hand, Replay
from scenarios.conform.report import Cases, NotJudged, Play, expect, lazily
from scenarios.machine import Machine
from softirq import backlog, completion, demux, gro, napi, net_rx_action, receive, rps
from softirq.net_rx_action import NetRxAction

UDP_PORT: Final = 7000
RULE: Final = "N1-N5, B4, B10, I1, I2, D1, K5"

_FUNCTIONS: Final[tuple[tuple[Any, str, str], ...]] = (
    (Fire.handle, "fire_fn", "cpu"),
    (Irq.handle, "skb_recv_done", "cpu"),
    (napi.napi_schedule, "napi_schedule_prep", "sd"),
    (napi.napi_schedule_irqoff, "__napi_schedule", "sd"),
    (net_rx_action.net_rx_action, "net_rx_action", "sd"),
    (net_rx_action.napi_poll, "__napi_poll", "sd"),
    (HandNapi.poll, "fn_poll", "sd"),
    (IceNapi.poll, "virtnet_poll", "sd"),
    (gro.napi_gro_receive, "napi_gro_receive", "sd"),
    (completion.napi_complete_done, "napi_complete_done", "sd"),
    (receive.netif_receive_skb_list_internal, "netif_receive_skb_list_internal", "sd"),
    (receive.netif_receive_skb_internal, "netif_receive_skb", "sd"),
    (receive.netif_rx, "netif_rx", "sd"),
    (rps.get_rps_cpu, "get_rps_cpu", "sd"),
    (backlog.enqueue_to_backlog, "enqueue_to_backlog", "sd"),
    (backlog.net_rps_action, "net_rps_send_ipi", "sd"),
    (backlog.RpsIpi.handle, "rps_trigger_softirq", "cpu"),
    (backlog.process_backlog, "process_backlog", "sd"),
    (demux.netif_receive_skb, "__netif_receive_skb_one_core", "sd"),
    (demux.netif_receive_skb_list, "__netif_receive_skb_list_core", "sd"),
    (demux.netif_receive_skb_core, "__netif_receive_skb_core", "sd"),
    (IpInput.ip_rcv, "ip_rcv", "sd"),
    (IpInput.ip_list_rcv, "ip_list_rcv", "sd"),
    (UdpSocket.deliver, "__udp_enqueue_schedule_skb", "sender"),
    (Cpu.raise_softirq_irqoff, "softirq_raise", "self"),
)
"""Function of the emulator, function or event of the kernel, the variable that tells the CPU."""

_EVENTS: Final = ("tap_rcv", "softirq_entry", "softirq_exit", "napi_poll", "napi_gro_receive_exit")
MODELLED: Final = frozenset(name for _, name, _ in _FUNCTIONS) | frozenset(_EVENTS)
"""What is compared."""


class Case(msgspec.Struct):
    """`frames` [queue, hex, hash]; `events` [cpu, task, flags, text]."""

    rps_cpus: str
    irq_cpu: int
    frames: list[tuple[int, str, int | None]]
    events: list[tuple[int, str, str, str]]


class Content(msgspec.Struct):
    """The file."""

    cases: dict[str, Any]
    what: str = ""


class Tracer:
    """Collects what a machine does while it is installed: per CPU, the kernel's names in order."""

    def __init__(self, machine: Machine, tap: Any) -> None:
        """`tap`: the function of the machine's probe."""
        self._known: dict[CodeType, tuple[str, str]] = {}
        for function, name, variable in (*_FUNCTIONS, (tap, "tap_rcv", "sd")):
            code = getattr(function, "__code__", None)
            if code is None:
                raise NotJudged("the emulator is compiled: its functions cannot be watched")
            self._known[code] = (name, variable)
        self._machine = machine
        self._seen: set[FrameType] = set()
        self._events: list[tuple[float, int, int, str]] = []
        """(place in the order, CPU, virtual time, text)."""
        self._posted: dict[int, int] = {}
        """Item that was posted -> its place: what is decided later belongs there."""
        self._deciding: tuple[float, int] | None = None
        for cpu in machine.cpus:
            cpu.softirq_vec[NET_RX_SOFTIRQ] = self._softirq(cpu)

    def __enter__(self) -> Tracer:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _softirq(self, cpu: Cpu) -> Any:
        action = NetRxAction(self._machine.net)

        async def run(at: Cpu) -> None:
            self._note(cpu, "softirq_entry")
            await action(at)
            self._note(cpu, "softirq_exit")

        return run

    def _note(self, cpu: Cpu, text: str) -> None:
        place, now_ns = self._deciding or (float(len(self._events)), cpu.local_now_ns)
        self._events.append((place, cpu.index, now_ns, text))

    def _profile(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if code is Clock.post.__code__ and event == "call":
            self._posted[id(frame.f_locals["item"])] = len(self._events)
            return
        if code is Clock.post_batch.__code__ and event == "call":
            self._posted.update((id(item), len(self._events)) for _, _, item in frame.f_locals["posts"])
            return
        if code is backlog.Backlog.deliver.__code__ or code is UdpSocket.deliver.__code__:
            if event == "call":
                variables = frame.f_locals
                self._deciding = (self._posted[id(variables["skb"])] - 0.5, variables["stamp_ns"])
            elif event == "return":
                self._deciding = None
        known = self._known.get(code)
        if known is None:
            return
        name, variable = known
        if event == "call":
            # A coroutine that goes on is called again.
            if frame in self._seen:
                return
            self._seen.add(frame)
            self._enter(frame, name, variable)
        elif event == "return":
            if name == "__napi_poll" and isinstance(arg, int):
                variables = frame.f_locals
                self._note(variables["sd"].cpu, f"napi_poll: work {arg} budget {variables['weight']}")
            elif name == "napi_gro_receive":
                self._note(frame.f_locals["sd"].cpu, f"napi_gro_receive_exit: ret={int(arg)}")

    def _enter(self, frame: FrameType, name: str, variable: str) -> None:
        variables = frame.f_locals
        whose = variables[variable]
        cpu: Cpu = whose if isinstance(whose, Cpu) else whose.cpu
        if name == "__napi_schedule" and (
            frame.f_back is None or frame.f_back.f_code is not napi.napi_schedule.__code__
        ):
            return  # ____napi_schedule is inlined in the kernel: not traced
        if name == "net_rps_send_ipi" and not variables["sd"].rps_ipi_list:
            return
        if name == "softirq_raise" and variables["nr"] != NET_RX_SOFTIRQ:
            return
        self._note(cpu, name)

    def by_cpu(self) -> dict[int, list[str]]:
        """Each CPU's events in order."""
        lanes: dict[int, list[str]] = {}
        for _, cpu, _, text in sorted(self._events, key=lambda event: event[0]):
            lanes.setdefault(cpu, []).append(text)
        return lanes

    def times_ns(self, name: str) -> list[int]:
        """When something happened, on any CPU."""
        return sorted(now_ns for _, _, now_ns, text in self._events if text == name)


def cases(recording: Recording) -> Cases:
    """The cases of a trace recording."""
    content = recording.convert(recording.data, Content)
    table = HeaderTable()
    match = re.search(r"Only CPUs (\d+)-(\d+) were traced", content.what)
    traced = range(int(match[1]), int(match[2]) + 1) if match else range(recording.meta.cpus)
    for name, body in content.cases.items():
        yield name, lazily(_player, recording, name, body, traced, table)


def _player(recording: Recording, name: str, body: Any, traced: range, table: HeaderTable) -> Play:
    case = recording.convert(body, Case, f"case {name}")
    frames = [
        (queue, recording.hex(text, f"case {name}: frame {number}"), hash_)
        for number, (queue, text, hash_) in enumerate(case.frames)
    ]

    def play() -> list[str]:
        machine = Replay(recording.rules, recording.meta.HZ, recording.meta.cpus, table)
        machine.stack.udp_socket(UDP_PORT)
        machine.write_queues("rps_cpus", case.rps_cpus)
        theirs = lanes_of(case.events)
        texts = [text for lane in theirs.values() for text in lane]
        # The driver's entry is not recorded by itself: the function that its poll called is.
        machine.enter_by(next((name for name in (NETIF_RX, NETIF_RECEIVE_SKB) if name in texts), NAPI_GRO_RECEIVE))
        left_out = set_backlog_budgets(machine, theirs)
        for queue, data, hash_ in frames:
            machine.lay(queue, data, hash_)
        tracer = Tracer(machine, Replay.tap)

        async def script(hand: Hand) -> None:
            await hand.fire(case.irq_cpu, list(dict.fromkeys(queue for queue, _, _ in frames)))

        with tracer:
            machine.play(script)
        judge_lanes(theirs, tracer, traced)
        return left_out

    return play


def lanes_of(events: list[tuple[int, str, str, str]]) -> dict[int, list[str]]:
    """Each CPU's recorded events that the emulator has too, in the emulator's words."""
    lanes: dict[int, list[str]] = {}
    for cpu, _, _, text in events:
        words = _in_our_words(text)
        if words is not None:
            lanes.setdefault(cpu, []).append(words)
    return lanes


def _in_our_words(text: str) -> str | None:
    function, arrow, _ = text.partition(" <-")
    if arrow:
        name = re.sub(r"\.(constprop|isra|part)\.\d+", "", function)
        return name if name in MODELLED else None
    name, _, fields = text.partition(": ")
    if name not in MODELLED:
        return None
    if name.startswith("softirq_"):
        return name if fields.startswith(f"vec={NET_RX_SOFTIRQ} ") else None
    if name == "napi_poll" and (match := re.search(r"work (\d+) budget (\d+)", fields)):
        return f"napi_poll: work {match[1]} budget {match[2]}"
    if name == "napi_gro_receive_exit":
        return f"{name}: {fields}"
    return None  # the event of a function that is compared already


def set_backlog_budgets(machine: Machine, lanes: dict[int, list[str]]) -> list[str]:
    """A backlog's first budget is what the last write of dev_weight before its last poll left (B9, K6): take it from the recording."""
    left_out: list[str] = []
    for index, lane in lanes.items():
        polled = ""
        for text in lane:
            if text == "process_backlog":
                polled = text
            elif polled and text.startswith("napi_poll: "):
                budget = int(text.rsplit(" ", 1)[1])
                sd = machine.net.softnet[index]
                if budget != sd.backlog.weight:
                    sd.backlog.weight = budget
                    left_out.append(
                        f"cpu{index}: a backlog budget of {budget} is left over from an earlier dev_weight (B9, K6)"
                    )
                break
    return left_out


def judge_lanes(theirs: dict[int, list[str]], tracer: Tracer, traced: range) -> None:
    """Compare each traced CPU's order, and that IPIs come before what they cause."""
    ours = tracer.by_cpu()
    for cpu in sorted({*theirs, *(cpu for cpu in ours if cpu in traced)}):
        expect(f"cpu{cpu}: event", theirs.get(cpu, []), ours.get(cpu, []), RULE)
    sent, taken = tracer.times_ns("net_rps_send_ipi"), tracer.times_ns("rps_trigger_softirq")
    for number, (cause, effect) in enumerate(zip(sent, taken, strict=False)):
        expect(f"IPI {number}: is sent before it is taken", True, cause < effect, "I1, I2")
