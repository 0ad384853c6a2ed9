"""`softnet why`: stories against times worked out by hand, formulas worked out again from their printed numbers, questions and errors."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from emu.clock import NEVER
from emu.dropreason import DropReason
from emu.errors import ConfigError
from emu.headers import HeaderTable, ones_complement_sum
from emu.skb import Skb
from nic.toeplitz import Toeplitz
from scenarios.build import Built
from scenarios.cli import main
from scenarios.load import parse_scenario
from scenarios.why.ask import Case, ask_flow, dropped_packet, packet_story, squeeze_story, told
from scenarios.why.document import FlowStory, PacketStory, SqueezeStory, Step
from scenarios.why.flow import FlowTuple
from scenarios.why.machine import TracedMachine
from scenarios.why.recorder import Recorder
from scenarios.why.text import packet_lines
from tests.scenario_kit import play
from tests.test_slow_twin import CONFIGURATIONS, machine, reader, rps, udp
from tests.why_kit import record

PRICES = """
[machine.prices]
hardirq = 1000
idle_exit = 500
softirq_entry = 100
net_rx_action = 70
napi_poll = 50
driver_rx = 30
gro_receive = 20
refill = 7
deliver_skb = 11
ip_rcv = 13
udp_rcv = 17
skb_free = 19
get_rps_cpu = 23
enqueue_to_backlog = 29
ipi_send = 31
ipi_receive = 37
process_backlog = 41
backlog_dequeue = 43
remote_skb = 0
"""
FIXED = "adaptive_rx = false\nrx_usecs = 0"
ONE = '[[traffic]]\npattern = "constant"\nrate_pps = 100_000\npackets = 1\nflows = 1\n'
SINK = '[[app]]\nprotocol = "udp"\nport = 5001\n'
RING_NS = 1000 + 500 + 100 + 70 + 50
"""Interrupt, out of idle, softirq, net_rx_action, the poll's beginning."""
GRO_NS = 30 + 20 + 7
"""Driver, GRO, refill; then the poll completes."""
UP_NS = 11 + 13 + 17 + 19
"""Demux, IP, UDP, and the in-kernel user's freeing."""


def case(text: str, seed: int = 1) -> Case:
    loaded = parse_scenario(text, "scenario.toml", Path())
    return Case(loaded.scenario, loaded.origin, seed)


def short(text: str, packets: int) -> str:
    """The scenario with so many packets of each source."""
    return re.sub(r"packets = \d+", f"packets = {packets}", text)


def steps(story: PacketStory, function: str) -> list[Step]:
    return [step for step in story.steps if step.function == function]


def number(step: Step, name: str) -> int:
    value = step.values[name]
    assert isinstance(value, int)
    return value


def lengths(story: PacketStory) -> dict[str, int]:
    return {stage.name: stage.end_ns - stage.begin_ns for stage in story.stages}


# -------------------------------------------------------------------- by hand


def test_a_packet_alone_waits_as_long_as_the_prices_say() -> None:
    story = packet_story(case(machine(1, 1, more=PRICES, nic=FIXED) + ONE + SINK), 1)
    assert lengths(story) == {"ring": RING_NS, "gro": GRO_NS, "protocol": UP_NS, "socket": 0}
    assert story.end.account == "read" and story.total_ns == RING_NS + GRO_NS + UP_NS
    began = story.arrived_ns
    assert [(step.function, step.at_ns - began, step.cpu) for step in story.steps] == [
        ("wire", 0, None),
        ("RSS", 0, None),
        ("ice_msix_clean_rings", 0, 0),
        ("ice_clean_rx_irq", RING_NS, 0),
        ("dev_gro_receive", RING_NS + 30, 0),
        ("gro_normal_list", RING_NS + GRO_NS, 0),
        ("ip_rcv", RING_NS + GRO_NS + 11, 0),
        ("udp_rcv", story.total_ns, 0),
        ("recvmsg", story.total_ns, 0),
    ]
    held = [(holder.account, holder.who, holder.ns) for holder in story.stages[0].holders]
    assert held == [
        ("hardirq", "interrupt eth0-TxRx-0", 1000),
        ("idle", "", 500),
        ("softirq", "net_rx_action", 170),
        ("softirq", "eth0-TxRx-0", 50),
    ]


def test_a_steered_packet_waits_for_the_ipi_on_the_other_cpu() -> None:
    story = packet_story(case(machine(2, 1, more=PRICES, nic=FIXED) + "[set]\n" + rps(1, "2") + ONE + SINK), 1)
    sent = 29 + 31
    waits = sent + 1 + 37 + 500 + 100 + 70 + 41
    assert lengths(story) == {
        "ring": RING_NS,
        "gro": GRO_NS,
        "steering": 23,
        "backlog": waits,
        "protocol": 43 + UP_NS,
        "socket": 0,
    }
    queued = RING_NS + GRO_NS + 23
    relative = {step.function: (step.at_ns - story.arrived_ns, step.cpu) for step in story.steps}
    assert relative["get_rps_cpu"] == relative["enqueue_to_backlog"] == (queued, 0)
    assert relative["net_rps_action_and_irq_enable"] == (queued + sent, 0)
    assert relative["rps_trigger_softirq"] == (queued + sent + 1, 1)
    assert relative["process_backlog"] == (queued + waits, 1)
    backlog = next(stage for stage in story.stages if stage.name == "backlog")
    assert [(holder.account, holder.who, holder.ns) for holder in backlog.holders] == [
        ("idle", "", sent + 1 + 500),
        ("hardirq", "RPS IPI", 37),
        ("softirq", "net_rx_action", 170),
        ("softirq", "backlog1", 41),
    ]


def test_frames_that_gro_merges_keep_their_numbers_and_share_the_rest_of_the_way() -> None:
    train = '[[traffic]]\nprotocol = "tcp"\npattern = "trains"\nrate_pps = 500_000\npackets = 6\nflows = 1\ntrain = 6\nsize = 1518\n'
    _, stories = record(machine(1, 1) + train + '[[app]]\nkind = "reader"\nprotocol = "tcp"\nport = 5001\n')
    merged = [story for story in stories.values() if len(story.frames) > 1]
    assert merged
    for story in merged:
        head = stories[story.frames[0]]
        assert story.frames == head.frames == list(range(head.packet, head.packet + len(head.frames)))
        assert story.end == head.end
        (gro,) = steps(story, "dev_gro_receive")
        if story is not head:
            assert gro.values == {"head": head.packet, "segment": story.packet - head.packet + 1}
        assert story.stages[2:] == head.stages[2:], "from GRO on they are one skb"
        assert story.stages[1].end_ns == head.stages[1].end_ns


# -------------------------------------------------------------------- formulas


def test_rss_and_rps_follow_from_the_printed_numbers() -> None:
    built, stories = record(machine(4, 4) + "[set]\n" + rps(4, "e") + udp(2_000_000, 300, 100) + SINK)
    targets = set()
    for story in stories.values():
        (rss,), (steered,) = steps(story, "RSS"), steps(story, "get_rps_cpu")
        key, data = rss.values["key"], rss.values["input"]
        assert isinstance(key, str) and isinstance(data, str)
        value = Toeplitz(bytes.fromhex(key)).hash(bytes.fromhex(data))
        assert value == number(rss, "hash") == number(steered, "hash")
        assert number(rss, "entry") == value & (number(rss, "entries") - 1)
        assert built.nic.rss.indirection[number(rss, "entry")] == number(rss, "queue") == number(steered, "queue")
        assert steered.values["map"] == [1, 2, 3]
        place = value * number(steered, "len") >> 32
        assert place == number(steered, "entry")
        target = [1, 2, 3][place]
        assert target == number(steered, "target") == number(steps(story, "enqueue_to_backlog")[0], "target")
        assert [stage.cpu for stage in story.stages if stage.name in ("backlog", "protocol")] == [target, target]
        targets.add(target)
    assert targets == {1, 2, 3}


def test_rfs_follows_from_the_printed_numbers() -> None:
    moved = stayed = 0
    for name in ("rfs, reader free to move", "rfs, all flows in one slot"):
        _, stories = record(short(CONFIGURATIONS[name], 600), 7)
        for step in [step for story in stories.values() for step in steps(story, "get_rps_cpu")]:
            if "next_cpu" not in step.values:
                continue
            old, wanted, target = number(step, "flow_cpu"), number(step, "next_cpu"), number(step, "target")
            if old == wanted:
                assert target == old
                continue
            outstanding = number(step, "posted_ns") >= number(step, "seen_ns")
            left = number(step, "head") - number(step, "last_qtail")
            moves = old >= 4 or (left >= 0 and not outstanding)
            assert target == (wanted if moves else old), step
            assert ("moves" in step.text or "nowhere" in step.text) == moves, step
            moved += moves
            stayed += not moves
    assert moved and stayed


def test_a_full_queue_is_proven_by_its_numbers() -> None:
    texts = {
        "NIC_RING_FULL": machine(2, 1, nic="ring = 256") + udp(6_000_000, 1500) + SINK,
        "CPU_BACKLOG": machine(2, 1)
        + '[set]\n"net.core.netdev_max_backlog" = 20\n'
        + rps(1, "2")
        + udp(3_000_000, 800)
        + SINK,
        "SOCKET_RCVBUFF": machine(2, 1) + udp(1_500_000, 500) + reader("1", "rcvbuf = 4096\nwork_ns = 900\n"),
    }
    for reason, text in texts.items():
        _, stories = record(text)
        dropped = [story for story in stories.values() if story.end.reason == reason]
        assert dropped, reason
        for story in dropped:
            (drop,) = steps(story, "kfree_skb_reason")
            if reason == "NIC_RING_FULL":
                assert number(drop, "fill") + number(drop, "cleaned") in range(number(drop, "descriptors") - 16, 256)
                assert story.total_ns == 0
            elif reason == "CPU_BACKLOG":
                assert number(drop, "qlen") > number(drop, "netdev_max_backlog") == 20
            else:
                assert number(drop, "rmem_alloc") > number(drop, "rcvbuf")
            behind = story.behind
            assert behind is not None and behind.end_ns == story.end.at_ns
            assert sum(holder.ns for holder in behind.holders) == behind.end_ns - behind.begin_ns
            assert behind.cpu == (0 if reason == "NIC_RING_FULL" else 1)


def test_a_packet_of_an_elephant_is_dropped_by_the_flow_limit_and_says_so() -> None:
    _, stories = record(short(CONFIGURATIONS["flow limit and an elephant"], 700), 7)
    limited = [
        step
        for story in stories.values()
        for step in steps(story, "kfree_skb_reason")
        if story.end.reason == "CPU_BACKLOG" and number(step, "qlen") <= number(step, "netdev_max_backlog")
    ]
    assert limited
    assert all(number(step, "flow_limit_count") > number(step, "flow_limit_history") // 2 for step in limited)
    assert all(number(step, "qlen") >= number(step, "netdev_max_backlog") >> 1 for step in limited)


# -------------------------------------------------------------------- fragments


class TwoFragments:
    """A datagram of two fragments at 10 us and 14 us."""

    longest_bytes = None

    def __init__(self, built: Built) -> None:
        self._frames: list[Skb] = []
        body = (33000).to_bytes(2, "big") + (5001).to_bytes(2, "big") + (48).to_bytes(2, "big") + bytes(2) + bytes(40)
        for at_ns, offset, more, part in ((10_000, 0, 1, body[:32]), (14_000, 4, 0, body[32:])):
            ip = bytearray(
                b"\x45\0" + (20 + len(part)).to_bytes(2, "big") + b"\0\7" + (more << 13 | offset).to_bytes(2, "big")
            )
            ip += b"\x40\x11\0\0" + bytes((10, 1, 0, 9, 10, 0, 0, 1))
            ip[10:12] = (0xFFFF - ones_complement_sum(bytes(ip))).to_bytes(2, "big")
            data = built.nic.dev.address + bytes(6) + b"\x08\0" + bytes(ip) + part
            frame = HeaderTable().parse(data)
            self._frames.append(
                Skb(frame.hdr, 0, len(data), frame.payload_bytes, frame.ip_id, 0, at_ns, data, len(data) - 14)
            )

    def next_ns(self) -> int:
        return self._frames[0].arrived_ns if self._frames else NEVER

    def fill(self, until_ns: int) -> list[Skb]:
        due = [skb for skb in self._frames if skb.arrived_ns <= until_ns]
        del self._frames[: len(due)]
        return due


def test_fragments_wait_for_each_other_and_end_as_one_datagram() -> None:
    recorders: list[Recorder] = []

    def prepare(built: Built) -> None:
        built.nic.wire.sources.append(TwoFragments(built))
        recorders.append(Recorder(built, lambda skb: skb.hdr.fragment))

    built = play(machine(1, 1, nic=FIXED) + ONE + SINK, 1, TracedMachine, prepare=prepare)
    assert built.machine.ledger.read_frames == 3
    first, last = (told(built, story) for story in recorders[0].stories.values())
    assert first.frames == last.frames == [first.packet, last.packet]
    assert [stage.name for stage in first.stages] == ["ring", "gro", "protocol", "fragments", "protocol", "socket"]
    assert first.end == last.end and first.end.account == "read"
    assert first.stages[3].end_ns == last.stages[3].end_ns and lengths(last)["fragments"] == 0
    assert steps(first, "ip_frag_reasm")[0].text == "the datagram is whole: 2 fragments"


# -------------------------------------------------------------------- drops, squeezes, flows


def test_drop_numbers_follow_the_ledger() -> None:
    text = machine(2, 1, nic="ring = 64") + udp(8_000_000, 600) + reader("1", "rcvbuf = 4096\nwork_ns = 900\n")
    seen: list[tuple[int, DropReason]] = []

    def listen(built: Built) -> None:
        built.machine.ledger.on_drop = lambda skb, reason: seen.append((skb.number + 1, reason))

    play(text, 1, prepare=listen)
    asked = case(text)
    assert len({reason for _, reason in seen}) > 1
    for place in (1, 2, len(seen) // 2, len(seen)):
        assert dropped_packet(asked, place) == seen[place - 1][0]
    full = [packet for packet, reason in seen if reason is DropReason.SOCKET_RCVBUFF]
    assert dropped_packet(asked, 2, "socket_rcvbuff") == full[1]
    story = packet_story(asked, full[1])
    assert (story.end.account, story.end.reason) == ("dropped", "SOCKET_RCVBUFF")
    with pytest.raises(ConfigError, match=rf"drops {len(seen)}, write 1 to {len(seen)}"):
        dropped_packet(asked, len(seen) + 1)
    with pytest.raises(ConfigError, match="nothing is dropped for it in this run, but"):
        dropped_packet(asked, 1, "CPU_BACKLOG")


def test_a_squeeze_by_budget_lists_its_polls_and_what_followed() -> None:
    text = CONFIGURATIONS["budget 64"]
    built = play(text)
    events = [event for event in built.machine.net.events.last(256) if "time_squeeze" in event.text]
    assert len(events) > 2 and len(events) == sum(sd.time_squeeze for sd in built.machine.net.softnet)
    story = squeeze_story(case(text), 2)
    assert (story.end_ns, story.cpu) == (events[1].at_ns, events[1].cpu)
    assert story.cause == "budget" and story.netdev_budget == 64
    took = f"after {(story.end_ns - story.begin_ns) / 1e6:.3f} ms"
    assert events[1].text.startswith(
        f"time_squeeze 2 by budget {took}, {64 - story.budget_left} of 64 polled, work left"
    )
    assert story.budget_left == 64 - sum(poll.work for poll in story.polls) <= 0
    assert story.polls[-1].budget_left == story.budget_left
    times = [story.begin_ns, *(time for poll in story.polls for time in (poll.begin_ns, poll.end_ns)), story.end_ns]
    assert times == sorted(times)
    assert story.left and story.followed_ns is not None and story.followed_ns >= story.end_ns
    with pytest.raises(ConfigError, match=f"write 1 to {len(events)}"):
        squeeze_story(case(text), len(events) + 1)


def test_a_squeeze_by_time_ends_in_the_jiffy_of_its_limit() -> None:
    story = squeeze_story(case(CONFIGURATIONS["short time limit"]), 1)
    assert story.cause == "time" and story.budget_left > 0
    assert story.limit_jiffies == story.begin_jiffies + 1 and story.hz == 1000
    assert story.end_jiffies >= story.limit_jiffies


def test_a_flow_is_told_packet_by_packet_and_none_overtakes() -> None:
    text = machine(4, 2) + "[set]\n" + rps(2, "c") + udp(2_500_000, 900, 10) + reader("3", "rcvbuf = 8192\n")
    _, stories = record(text)
    flow = stories[1].flow
    story = ask_flow(case(text), flow)
    mine = [told for told in stories.values() if told.flow == flow]
    assert story.packets == len(mine) == sum(story.accounts.values()) and story.reordered == 0
    for line, told_story in zip(story.lines, mine, strict=True):
        assert line.packet == told_story.packet and line.total_ns == sum(line.waits_ns.values()) == told_story.total_ns
    assert story.queues == [line.queue for line in story.lines[:1]]
    few = ask_flow(case(text), flow, most=5)
    assert few.lines == story.lines[:5] and few.packets + few.untold == story.packets
    assert ask_flow(case(text), flow.removeprefix("udp ").replace(" > ", "->")) == story
    with pytest.raises(ConfigError, match=r"the nearest flow is 'udp 10.1.0.1:32768 > 10.0.0.1:5001'"):
        ask_flow(case(text), "tcp 10.1.0.1:32768 > 10.0.0.1:5001")


@pytest.mark.parametrize(
    ("words", "told_why"),
    [
        ("nonsense", "no flow, write one as"),
        ("1.2.3:4 > 5.6.7.8:9", "1.2.3 is no address"),
        ("1.2.3.4:70000 > 5.6.7.8:9", "port 70000 is above 65535"),
        ("sctp 1.2.3.4:5 > 5.6.7.8:9", "no flow"),
    ],
)
def test_a_flow_that_is_none_is_refused(words: str, told_why: str) -> None:
    with pytest.raises(ConfigError, match=told_why):
        FlowTuple.parse(words)


def test_ipv6_flows_are_read_as_they_are_printed() -> None:
    text = machine(1, 1) + udp(100_000, 3, 1, "ip = 6") + SINK
    _, stories = record(text)
    assert "[fd00::1]:5001" in stories[1].flow
    assert ask_flow(case(text), stories[1].flow).packets == 3


# -------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("words", "told_why"),
    [
        (["--packet", "0"], "packets are counted from 1"),
        (["--packet", "99999999"], "write 1 to "),
        (["--drop", "1"], "nothing is dropped in this run of"),
        (["--squeeze", "1"], "time_squeeze stays 0"),
        (["--drop", "1", "--reason", "full"], "no drop reason, the nearest is"),
        (["--packet", "1", "--drop", "1"], "--packet and --drop are two questions"),
        ([], "nothing is asked for"),
        (["--packet", "1", "--reason", "CPU_BACKLOG"], "it goes with --drop"),
        (["--flow", "1.1.1.1:1 > 2.2.2.2:2"], "the nearest flow is 'udp 10.1."),
    ],
)
def test_a_question_about_what_did_not_happen_exits_with_2_in_one_sentence(
    words: list[str], told_why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "rss-4", "--seed", "1", "--duration", "1ms", *words]) == 2
    out, err = capsys.readouterr()
    assert told_why in err and err.count("\n") == 1 and not out


def test_the_same_question_has_the_same_answer_as_text_and_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    question = ["why", "one-queue", "--seed", "1", "--duration", "3ms", "--packet", "1500"]
    assert main(question) == 0
    text = capsys.readouterr().out
    assert main([*question, "--json"]) == 0
    story = msgspec.json.decode(capsys.readouterr().out, type=PacketStory)
    assert text.startswith("\n".join(packet_lines(story)))
    assert text.endswith("the run: softnet run one-queue --duration 3ms --seed 1\n")


def test_every_answer_can_be_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    for kind, words in (
        (SqueezeStory, ["squeeze-budget", "--squeeze", "1", "--duration", "1ms"]),
        (FlowStory, ["elephant", "--flow", "udp 10.1.0.1:32768 > 10.0.0.1:5001", "--duration", "1ms"]),
        (PacketStory, ["one-queue", "--drop", "1", "--duration", "2ms"]),
    ):
        assert main(["why", *words, "--seed", "1"]) == 0
        assert capsys.readouterr().out
        assert main(["why", *words, "--seed", "1", "--json"]) == 0
        msgspec.json.decode(capsys.readouterr().out, type=kind)


def test_events_name_the_packet_that_was_refused() -> None:
    texts = {
        "NIC_RING_FULL": ("rx-0 is full", machine(2, 1, nic="ring = 256") + udp(6_000_000, 1500) + SINK),
        "CPU_BACKLOG": (
            "backlog refuses",
            machine(2, 1) + '[set]\n"net.core.netdev_max_backlog" = 20\n' + rps(1, "2") + udp(3_000_000, 400) + SINK,
        ),
        "SOCKET_RCVBUFF": (
            "udp:5001 refuses",
            machine(2, 1) + udp(1_500_000, 400) + reader("1", "rcvbuf = 4096\nwork_ns = 900\n"),
        ),
    }
    for reason, (words, text) in texts.items():
        built, stories = record(text)
        named = [event for event in built.machine.net.events.last(256) if words in event.text]
        assert named
        for event in named:
            found = re.search(r"\bpkt (\d+)\b", event.text)
            assert found is not None
            end = stories[int(found[1])].end
            assert (end.reason, end.at_ns) == (reason, event.at_ns)
            assert f": {reason}, udp 10." in event.text
