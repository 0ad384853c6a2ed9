"""The sysctls of net.ipv4 and net.ipv6: texts, limits, and what they decide."""

from __future__ import annotations

import pytest

from emu.errors import ControlError
from emu.rules import RULES
from netstack.controls import contribute
from tests.netstack.stack_kit import StackKit, fragments4, fragments6, tcp4, udp_body
from tests.netstack.test_fragments import BODY6, reasm
from tests.netstack.test_tcp_sock import connected

IPFRAG = "net.ipv4.ipfrag"
IP6FRAG = "net.ipv6.ip6frag"
BODY = udp_body(payload=392)


def kit(release: str = "6.9") -> StackKit:
    made = StackKit(release)
    contribute(made.tree, made.stack)
    return made


def errno_of(made: StackKit, name: str, text: str) -> str:
    before = made.tree.read(name)
    with pytest.raises(ControlError) as refused:
        made.tree.write(name, text)
    assert made.tree.read(name) == before
    return refused.value.errno_name


@pytest.mark.parametrize(("release", "most"), [(name, rules.tcp_rmem_max_cap) for name, rules in RULES.items()])
def test_a_fresh_machine_has_the_kernels_defaults(release: str, most: int) -> None:
    tree = kit(release).tree
    shown = {
        name: tree.read(f"/proc/sys/net/{name}")
        for family in ("ipv4", "ipv6")
        for name in (f"{family}/{file}" for file in tree.list(f"/proc/sys/net/{family}"))
    }
    assert shown == {
        "ipv4/ipfrag_high_thresh": "4194304\n",
        "ipv4/ipfrag_low_thresh": "3145728\n",
        "ipv4/ipfrag_max_dist": "64\n",
        "ipv4/ipfrag_secret_interval": "0\n",
        "ipv4/ipfrag_time": "30\n",
        "ipv4/tcp_rmem": f"4096\t131072\t{most}\n",
        "ipv4/udp_rmem_min": "4096\n",
        "ipv6/ip6frag_high_thresh": "4194304\n",
        "ipv6/ip6frag_low_thresh": "3145728\n",
        "ipv6/ip6frag_secret_interval": "0\n",
        "ipv6/ip6frag_time": "60\n",
    }


@pytest.mark.parametrize(
    ("name", "text", "errno"),
    [
        (f"{IPFRAG}_high_thresh", "3145727", "EINVAL"),
        (f"{IPFRAG}_low_thresh", "4194305", "EINVAL"),
        (f"{IPFRAG}_high_thresh", "-1", "EINVAL"),
        (f"{IPFRAG}_max_dist", "-1", "EINVAL"),
        (f"{IPFRAG}_time", "x", "EINVAL"),
        (f"{IPFRAG}_time", str(2**31 // 250 + 1), "EINVAL"),
        (f"{IP6FRAG}_low_thresh", "4194305", "EINVAL"),
        ("net.ipv4.tcp_rmem", "4096 0 6291456", "EINVAL"),
        ("net.ipv4.tcp_rmem", "4096,131072", "EINVAL"),
        ("net.ipv4.tcp_rmem", "", "EINVAL"),
        ("net.ipv4.udp_rmem_min", "0", "EINVAL"),
        ("net.ipv4.udp_rmem_min", "8192", "EOPNOTSUPP"),
        (f"{IPFRAG}_secret_interval", "600", "EOPNOTSUPP"),
    ],
)
def test_a_refused_write_changes_nothing(name: str, text: str, errno: str) -> None:
    assert errno_of(kit(), name, text) == errno


def test_both_thresholds_can_be_moved_one_after_the_other() -> None:
    made = kit()
    made.tree.write(f"{IPFRAG}_low_thresh", "0")
    made.tree.write(f"{IPFRAG}_high_thresh", "1000")
    assert errno_of(made, f"{IPFRAG}_low_thresh", "1001") == "EINVAL"
    made.tree.write(f"{IPFRAG}_high_thresh", str(2**40))
    made.tree.write(f"{IPFRAG}_low_thresh", str(2**39))
    assert made.tree.read(f"{IPFRAG}_low_thresh") == f"{2**39}\n"


@pytest.mark.parametrize(("name", "frames"), [(IPFRAG, fragments4(BODY, [200])), (IP6FRAG, fragments6(BODY6, [200]))])
@pytest.mark.parametrize(
    ("high", "outcome"), [("0", {"ReasmFails": 2}), ("1279", {"ReasmFails": 1}), ("1280", {"ReasmOKs": 1})]
)
def test_the_high_threshold_bounds_memory_and_0_forbids_reassembly(
    name: str, frames: list[bytes], high: str, outcome: dict[str, int]
) -> None:
    made = kit()
    made.tree.write(f"{name}_low_thresh", "0")
    made.tree.write(f"{name}_high_thresh", high)
    for frame in frames:
        made.up(frame)
    assert reasm(made) == {"ReasmReqds": 2, **outcome}


@pytest.mark.parametrize(
    ("name", "frame"), [(IPFRAG, fragments4(BODY, [200])[0]), (IP6FRAG, fragments6(BODY6, [200])[0])]
)
def test_the_time_that_a_datagram_has_is_the_setting_s(name: str, frame: bytes) -> None:
    made = kit()
    made.tree.write(f"{name}_time", "2")
    made.up(frame)
    [queue] = made.stack.fragments.queues.values()
    assert queue.timer is not None
    assert made.cpus[0].mailbox.next_ns() == made.cpus[0].local_now_ns + 2_000_000_000


@pytest.mark.parametrize(("distance", "whole"), [("2", 0), ("3", 1), ("0", 1)])
def test_fragments_too_far_apart_are_given_up_unless_the_distance_is_0(distance: str, whole: int) -> None:
    made = kit()
    made.tree.write(f"{IPFRAG}_max_dist", distance)
    first, last = fragments4(BODY, [200], 7)
    made.up(first)
    for ident in (8, 9):
        made.up(fragments4(BODY, [200], ident)[0])
    made.up(last)
    assert reasm(made).get("ReasmOKs", 0) == whole


def test_a_connection_begins_with_the_second_value_of_tcp_rmem_and_grows_up_to_the_third_as_it_is_then() -> None:
    made, sock = connected()
    contribute(made.tree, made.stack)
    assert (sock.rcvbuf_bytes, sock.limit_bytes) == (131_072, 6 << 20)
    made.tree.write("net.ipv4.tcp_rmem", "4096 131072 200000")
    for at in range(0, 300_000, 1000):
        skb = made.make_skb(tcp4(seq=at, payload=1000), truesize_bytes=2304)
        skb.head_frag = False
        made.up(skb)
    assert sock.rcvbuf_bytes <= 200_000
    made.tree.write("net.ipv4.tcp_rmem", "4096 65536")
    assert made.tree.read("net.ipv4.tcp_rmem") == "4096\t65536\t200000\n"
    assert made.stack.tcp_socket((4, b"", b"", 0, 1)).rcvbuf_bytes == 65_536
