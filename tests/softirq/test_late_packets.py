"""Late packets: when a post to a backlog is decided makes no difference to what is counted, measured and kept."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from emu.clock import NEVER
from scenarios.build import Built
from softirq.hotplug import cpu_dead
from softirq.late_packets import LatePackets
from tests.machine_kit import Kit, skb
from tests.scenario_kit import document, play

QUEUES = 3
SCENARIO = """
[machine]
cpus = 4
[nic]
queues = {queues}
rx_usecs = {rx_usecs}
[set]
"net.core.netdev_max_backlog" = {limit}
{maps}
[[traffic]]
protocol = "{protocol}"
pattern = "poisson"
rate_pps = {rate_pps}
packets = 1500
flows = {flows}
size = 128
[[app]]
kind = "sink"
protocol = "{protocol}"
port = 5001
"""

commands = st.one_of(
    st.tuples(st.just("net.core.netdev_max_backlog"), st.sampled_from(("4", "60", "1000"))),
    st.tuples(
        st.sampled_from([f"/sys/devices/system/cpu/cpu{cpu}/online" for cpu in (1, 2, 3)]), st.sampled_from("01")
    ),
    st.tuples(st.just("/sys/class/net/eth0/queues/rx-0/rps_cpus"), st.sampled_from("06f")),
)


def decide_one_by_one(built: Built) -> None:
    built.machine.net.late_backlogs = False


@settings(max_examples=25)
@given(
    st.sampled_from(("tcp", "udp")),
    st.sampled_from((1, 6, 40, 1000)),
    st.lists(st.integers(1, 15), min_size=QUEUES, max_size=QUEUES),
    st.sampled_from((500_000, 2_300_000, 6_000_000)),
    st.sampled_from((1, 5, 200)),
    st.sampled_from((0, 20)),
    st.lists(st.tuples(st.integers(0, 900_000), commands), max_size=5),
)
def test_late_packets_are_taken_as_if_each_had_been_decided_by_itself(
    protocol: str,
    limit: int,
    masks: list[int],
    rate_pps: int,
    flows: int,
    rx_usecs: int,
    changes: list[tuple[int, tuple[str, str]]],
) -> None:
    maps = "\n".join(
        f'"/sys/class/net/eth0/queues/rx-{queue}/rps_cpus" = "{mask:x}"' for queue, mask in enumerate(masks)
    )
    text = SCENARIO.format(
        queues=QUEUES, rx_usecs=rx_usecs, limit=limit, maps=maps, protocol=protocol, rate_pps=rate_pps, flows=flows
    )
    writes = [(at_ns, path, value) for at_ns, (path, value) in changes]
    late = play(text, 1, writes=writes)
    assert document(late) == document(play(text, 1, writes=writes, prepare=decide_one_by_one))


def late_packets(kit: Kit, *stamps: int) -> LatePackets:
    """The late packets of CPU 1's backlog, which is scheduled: one from CPU 0 for each stamp."""
    backlog = kit.net.softnet[1].backlog
    backlog.sched = True
    packets = [skb(kit, number) for number in range(len(stamps))]
    for packet, stamp_ns in zip(packets, stamps, strict=True):
        packet.stage_ns = stamp_ns
        packet.received = kit.net.softnet[0].backlog.received_on(0, 0)
    assert backlog.late.post(kit.cpus[0], packets)
    return backlog.late


def test_what_was_posted_before_a_look_is_appended_then_and_the_rest_waits() -> None:
    kit = Kit(2)
    late = late_packets(kit, 100, 200, 300)
    backlog = kit.net.softnet[1].backlog
    late.append(200)
    assert ([packet.number for packet in backlog.input_pkt_queue], late.count) == ([0], 2)
    late.append(200, rank=1)  # CPU 0 comes before CPU 1
    assert ([packet.number for packet in backlog.input_pkt_queue], late.count) == ([0, 1], 1)


def test_a_backlog_that_goes_to_sleep_is_woken_by_the_first_of_what_waits() -> None:
    kit = Kit(2)
    late = late_packets(kit, 100, 200)
    backlog = kit.net.softnet[1].backlog
    backlog.sched = False
    late.announce()
    assert (late.count, len(kit.clock.posts_waiting())) == (1, 2)
    kit.clock._decide(NEVER - 1)
    assert backlog.sched
    assert [packet.number for packet in backlog.input_pkt_queue] == [0]


def test_what_might_fill_half_of_a_backlog_does_not_wait() -> None:
    kit = Kit(2)
    kit.net.settings.set("netdev_max_backlog", 6)
    late = late_packets(kit, 100, 200)
    packets = [skb(kit, number) for number in (2, 3)]
    for packet in packets:
        packet.received = kit.net.softnet[0].backlog.received_on(0, 0)
    assert not late.post(kit.cpus[0], packets)
    kit.net.softnet[1].backlog.expect(2)
    assert (late.count, len(kit.clock.posts_waiting())) == (0, 2)


def test_a_cpu_that_goes_offline_leaves_what_comes_later_to_the_clock() -> None:
    kit = Kit(2)
    late = late_packets(kit, 100, 300)
    here, dead = kit.cpus
    dead.local_now_ns = 200
    dead.online = False
    cpu_dead(kit.net, dead, here)
    backlog = kit.net.softnet[1].backlog
    assert ([packet.number for packet in backlog.input_pkt_queue], late.count) == ([0], 0)
    kit.clock._decide(NEVER - 1)
    assert kit.net.softnet[1].dropped == 1
