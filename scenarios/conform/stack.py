"""stack.json: frames -> every snmp, netstat, snmp6 and device counter that moved, and what the sockets read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from emu.headers import HeaderTable
from netstack.stack import ANY6
from nic.hand_device import Layout
from scenarios.conform.load import Recording
from scenarios.conform.replay import Hand, Replay
from scenarios.conform.report import Cases, Impossible, Play, expect, lazily

IRQ_CPU: Final = 1
PLAIN_PORT: Final = 7100
SMALL_PORT: Final = 7101
SMALL_RCVBUF: Final = 2304
LISTENER_PORT: Final = 7200
SUMMED: Final = {"NONE": 0, "UNNECESSARY": 1, "COMPLETE": 2}
GAUGES: Final = ("Tcp.CurrEstab",)
"""Not counters: not recorded."""


class Case(msgspec.Struct):
    """One NAPI poll of `frames`."""

    ip_summed: str
    frames: list[str]
    counters: dict[str, int]
    seen_by_probe: int
    socket_read_lengths: list[int] = []


class Content(msgspec.Struct):
    """The file."""

    cases: dict[str, Any]


def cases(recording: Recording) -> Cases:
    """The cases of a stack recording."""
    content = recording.convert(recording.data, Content)
    table = HeaderTable()
    for name, body in content.cases.items():
        yield name, lazily(_player, recording, name, body, table)


def _player(recording: Recording, name: str, body: Any, table: HeaderTable) -> Play:
    case = recording.convert(body, Case, f"case {name}")
    if case.ip_summed not in SUMMED:
        raise Impossible(f"ip_summed {case.ip_summed[:40]!r} is none of {', '.join(SUMMED)}")
    frames = [recording.hex(text, f"case {name}: frame {index}") for index, text in enumerate(case.frames)]

    def play() -> list[str]:
        machine = Replay(recording.rules, recording.meta.HZ, recording.meta.cpus, table)
        stack = machine.stack
        plain6 = stack.udp_socket(PLAIN_PORT, ANY6)
        plain6.v6only = True
        sockets = [stack.udp_socket(PLAIN_PORT), plain6, stack.udp_socket(SMALL_PORT, rcvbuf=SMALL_RCVBUF)]
        stack.tcp_listener(LISTENER_PORT)
        machine.device.layout = Layout(SUMMED[case.ip_summed])
        for data in frames:
            machine.lay(0, data)
        moved: dict[str, int] = {}
        lengths: list[int] = []

        async def script(hand: Hand) -> None:
            await hand.fire(IRQ_CPU, [0])
            moved.update(_moved(machine))
            for sock in sockets:
                lengths.extend(skb.payload_bytes for skb in await hand.read(IRQ_CPU, sock))

        machine.play(script)
        expect("counter", case.counters, moved, "sections 8-10, K1-K3, K7")
        expect("skbs at the probe", case.seen_by_probe, len(machine.seen), "D2")
        expect("datagrams read, bytes", case.socket_read_lengths, lengths, "U1-U4, note 21")
        return []

    return play


def _moved(machine: Replay) -> dict[str, int]:
    """Counters that are not 0, under the recording's names."""
    moved = {name: value for name, value in machine.stack.snmp.as_dict().items() if value and name not in GAUGES}
    statistics: Any = machine.dev.statistics
    for name in statistics.__slots__:
        if name != "tx_bytes" and getattr(statistics, name):  # fn0 does not count it
            moved[f"fn0.{name}"] = getattr(statistics, name)
    return moved
