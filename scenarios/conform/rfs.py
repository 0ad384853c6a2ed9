"""rfs.json and rfs_fuzz.json: logs of what was sent, read, held and taken offline, and which CPU handled each packet."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from emu.headers import HeaderTable
from netstack.stack import ANY4
from netstack.udp_sock import UdpSocket
from scenarios.conform.frames import LOCAL, REMOTE, udp_frame
from scenarios.conform.load import Recording
from scenarios.conform.replay import Hand, Replay
from scenarios.conform.report import Cases, Impossible, NotJudged, Play, expect, lazily

FRAME_BYTES: Final = 74
MAX_PACKETS: Final = 100_000
OPS: Final = ("socket", "send", "read", "hold", "release", "cpu_offline", "cpu_online")
STEER_CALLS: Final = "ndo_rx_flow_steer_calls_rxq_flowid_hash"
RULE_SEND: Final = "R4-R8, R12, note 17"


class Op(msgspec.Struct):
    """One line of a log: socket, send, read, hold, release, cpu_offline or cpu_online."""

    op: str
    name: str = ""
    connected: bool = False
    sport: int = 0
    dport: int = 0
    hash: int | None = None
    n: int = 0
    irq_cpu: int = 0
    queue: int = 0
    handled_on: list[int] = []
    cpu: int = 0
    got: int = 0
    steer_calls: list[tuple[int, int, int]] | None = msgspec.field(default=None, name=STEER_CALLS)


class Case(msgspec.Struct):
    """Settings and a log."""

    knobs: dict[str, Any]
    log: list[Op]


class Content(msgspec.Struct):
    """The file."""

    cases: dict[str, Any]


def cases(recording: Recording) -> Cases:
    """The cases of an rfs or rfs_fuzz recording."""
    content = recording.convert(recording.data, Content)
    table = HeaderTable()
    for name, body in content.cases.items():
        yield name, lazily(_player, recording, name, body, table)


def _player(recording: Recording, name: str, body: Any, table: HeaderTable) -> Play:
    case = recording.convert(body, Case, f"case {name}")
    names: set[str] = set()
    for number, op in enumerate(case.log):
        if op.op not in OPS:
            raise Impossible(f"log {number}: there is no step {op.op[:40]!r}")
        if op.op == "socket":
            names.add(op.name)
        elif op.op in ("send", "read") and op.name not in names:
            raise Impossible(f"log {number}: there is no socket {op.name[:40]!r}")
        if op.op == "send" and op.hash is None:
            raise NotJudged(f"log {number}: without a NIC hash the CPU depends on a random key")
        if not 0 <= op.n <= MAX_PACKETS:
            raise Impossible(f"log {number}: {op.n} packets")

    def play() -> list[str]:
        machine = Replay(recording.rules, recording.meta.HZ, recording.meta.cpus, table)
        machine.write("net.core.rps_sock_flow_entries", case.knobs.get("rps_sock_flow_entries", 0))
        machine.write_queues("rps_flow_cnt", case.knobs.get("rps_flow_cnt", 0))
        machine.write_queues("rps_cpus", case.knobs.get("rps_cpus", "0"))
        accelerated = any(op.steer_calls is not None for op in case.log)
        if accelerated:
            machine.accelerate()

        async def script(hand: Hand) -> None:
            sockets: dict[str, UdpSocket] = {}
            ports: dict[str, tuple[int, int]] = {}
            for number, op in enumerate(case.log):
                at = f"log {number} ({op.op} {op.name or op.cpu})"
                before, steered = len(machine.seen), len(machine.steers)
                if op.op == "socket":
                    peer = (REMOTE, op.sport) if op.connected else None
                    sockets[op.name] = machine.stack.udp_socket(op.dport, LOCAL if op.connected else ANY4, peer=peer)
                    ports[op.name] = (op.sport, op.dport)
                elif op.op == "send":
                    sport, dport = ports[op.name]
                    for _ in range(op.n):
                        machine.lay(op.queue, udp_frame(table, sport, dport, FRAME_BYTES), op.hash)
                    await hand.fire(op.irq_cpu, [op.queue])
                elif op.op == "read":
                    expect(f"{at}: datagrams read", op.got, len(await hand.read(op.cpu, sockets[op.name])), "U6")
                elif op.op == "hold":
                    await hand.hold(op.cpu)
                elif op.op == "release":
                    await hand.release(op.cpu)
                else:
                    await hand.set_online(op.cpu, op.op == "cpu_online")
                got = [seen.cpu for seen in machine.seen[before:]]
                expect(f"{at}: handled on", op.handled_on, got, RULE_SEND)
                if accelerated and op.op == "send":
                    calls = [list(call) for call in op.steer_calls or []]
                    expect(
                        f"{at}: ndo_rx_flow_steer",
                        calls,
                        [list(c) for c in machine.steers[steered:]],
                        "A1, A2b, note 18",
                    )

        machine.play(script)
        return []

    return play
