"""ethtool: what it prints, what it changes, what it refuses."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.commands import Commands
from emu.errors import ControlError
from nic import ethtool
from nic.controls import contribute
from nic.ethtool import asks, register
from softirq import controls as softirq_controls
from tests.nic.rig import Rig, frame, udp_headers


class Shell:
    """A machine of four CPUs with eth0, and its command line."""

    def __init__(self, *times: int, queues: int = 4, cpus: int = 4, vectors: int | None = None, **more: object) -> None:
        self.rig = Rig(
            [frame(udp_headers(number), time) for number, time in enumerate(times)],
            queues=queues,
            cpus=cpus,
            vectors=vectors,
            rx_usecs=50,
            **more,  # type: ignore[arg-type]
        )
        self.nic = self.rig.nic
        tree = self.rig.machine.tree
        softirq_controls.contribute_device(tree, self.rig.net, self.rig.dev)
        contribute(tree, self.rig.machine.irqs, self.nic)
        self.commands = Commands(tree)
        register(self.commands, [self.nic])

    def __call__(self, words: str) -> str:
        return self.commands.run(f"ethtool {words}")

    def state(self) -> list[str]:
        """Everything ethtool shows."""
        shows = ["eth0", *(f"{option} eth0" for option in ("-l", "-g", "-c", "-k", "-x", "-i", "-S"))]
        shows += [f"-n eth0 rx-flow-hash {kind}" for kind in ("tcp4", "udp4", "tcp6", "udp6")]
        return [self(show) for show in shows] + self.rig.machine.tree.paths()


def refusal(shell: Shell, words: str) -> ControlError:
    before = shell.state()
    with pytest.raises(ControlError) as error:
        shell(words)
    assert shell.state() == before
    return error.value


CHANNELS = """Channel parameters for eth0:
Pre-set maximums:
RX:\t\t4
TX:\t\t4
Other:\t\t1
Combined:\t4
Current hardware settings:
RX:\t\t{}
TX:\t\t{}
Other:\t\t1
Combined:\t{}
"""


def test_channels_are_combined_ones_and_extra_receive_queues() -> None:
    shell = Shell()
    assert shell("-l eth0") == shell("--show-channels eth0") == CHANNELS.format(0, 0, 4)
    assert shell("-L eth0 combined 2") == ""
    assert shell("-l eth0") == CHANNELS.format(0, 0, 2)
    shell("--set-channels eth0 combined 1 rx 2")
    assert shell("-l eth0") == CHANNELS.format(2, 0, 1)
    assert len(shell.nic.rings) == 3
    shell("-L eth0 rx 4 tx 4")
    assert shell("-l eth0") == CHANNELS.format(0, 0, 4)


def test_queues_that_share_a_vector_are_receive_channels_beside_the_combined() -> None:
    shell = Shell(queues=4, vectors=2)
    assert shell("-l eth0") == CHANNELS.format(2, 0, 2)


def test_channels_that_are_there_already_change_nothing() -> None:
    shell = Shell()
    vectors = shell.nic.vectors
    assert shell("-L eth0 combined 4 other 1") == ""
    assert shell.nic.vectors is vectors


def test_rings_are_shown_and_rounded_up_to_32() -> None:
    shell = Shell()
    lines = shell("-g eth0").splitlines()
    assert lines[:3] == ["Ring parameters for eth0:", "Pre-set maximums:", "RX:\t\t\t8160"]
    assert lines[lines.index("Current hardware settings:") + 1] == "RX:\t\t\t2048"
    assert shell("-G eth0 rx 100 tx 512") == ""
    assert "RX:\t\t\t128\n" in shell("-g eth0") and "TX:\t\t\t512\n" in shell("--show-ring eth0")
    assert {ring.descriptors for ring in shell.nic.rings} == {128}
    assert "rounded up to 128" in shell.rig.net.events.last(1)[0].text


def test_a_ring_of_the_size_it_has_is_not_remade() -> None:
    shell = Shell(*[1000] * 4, queues=1)
    shell.rig.at(1500, lambda: shell("-G eth0 rx 2040"))
    shell.rig.run()
    assert len(shell.rig.received) == 4


def test_coalescing_is_shown_with_what_ice_has() -> None:
    shell = Shell(adaptive_rx=True)
    text = shell("-c eth0")
    assert text.startswith("Coalesce parameters for eth0:\nAdaptive RX: on  TX: on\nstats-block-usecs:\tn/a\n")
    assert "\nrx-usecs:\t50\nrx-frames:\tn/a\n" in text
    assert "\n\nrx-usecs-high:\t0\n" in text


def test_coalescing_of_all_vectors_is_set() -> None:
    shell = Shell(adaptive_rx=True)
    shell("-C eth0 adaptive-rx off adaptive-tx off rx-usecs 21 tx-usecs 30 rx-usecs-high 100")
    assert {vector.moderation.itr_ns for vector in shell.nic.vectors} == {100_000}
    text = shell("-c eth0")
    assert "Adaptive RX: off  TX: off" in text
    assert "rx-usecs:\t20\n" in text and "tx-usecs:\t30\n" in text and "rx-usecs-high:\t100\n" in text
    shell("--coalesce eth0 rx-usecs-high 0")
    assert {vector.moderation.itr_ns for vector in shell.nic.vectors} == {20_000}


def test_a_new_vector_has_the_intervals_of_the_others() -> None:
    shell = Shell(queues=1)
    shell("-C eth0 adaptive-tx off rx-usecs 16 rx-usecs-high 40")
    shell("-L eth0 combined 4")
    assert [vector.moderation.itr_ns for vector in shell.nic.vectors] == [40_000] * 4


def test_rx_usecs_high_holds_interrupts_apart() -> None:
    shell = Shell(1000, 2000, 3000, queues=1, cpus=1)
    shell("-C eth0 adaptive-tx off rx-usecs 0 rx-usecs-high 200")
    shell.rig.run()
    times = [time for _, _, time in shell.rig.irqs]
    assert [second - first for first, second in pairwise(times)] == [200_000]


def test_features_are_shown_and_switched() -> None:
    shell = Shell()
    text = shell("-k eth0")
    assert text.startswith(
        "Features for eth0:\nrx-checksumming: on\ntx-checksumming: off\n\ttx-checksum-ipv4: off [fixed]\n"
    )
    assert "\ngeneric-receive-offload: off\nlarge-receive-offload: off [fixed]\n" in text
    shell("-K eth0 gro on rx-gro-list on ntuple on rxhash off rx off rxvlan off rx-udp-gro-forwarding on lro off")
    dev = shell.rig.dev
    assert (dev.gro, dev.rx_gro_list, dev.ntuple, dev.rx_udp_gro_forwarding) == (True,) * 4
    assert (dev.rxhash, dev.rx_checksum, dev.rx_vlan_offload) == (False,) * 3
    assert "receive-hashing: off\n" in shell("--show-offload eth0")


def test_hash_and_checksum_state_follow_their_features() -> None:
    shell = Shell(1000, 500_000)
    shell.rig.at(200_000, lambda: shell("-K eth0 rxhash off rx off"))
    shell.rig.run()
    first, second = (skb for _, _, skb in shell.rig.received)
    assert first.hash and first.ip_summed
    assert (second.hash, second.ip_summed) == (0, 0)


def test_the_indirection_table_has_rows_of_eight_and_the_key() -> None:
    shell = Shell(queues=3)
    lines = shell("-x eth0").splitlines()
    assert lines[0] == "RX flow hash indirection table for eth0 with 3 RX ring(s):"
    assert lines[1] == "    0:      0     1     2     0     1     2     0     1"
    assert lines[256] == " 2040:      0     1     2     0     1     2     0     1"
    assert lines[257] == "RSS hash key:"
    assert lines[258] == shell.rig.rss.key.hex(":")
    assert lines[259:] == ["RSS hash function:", "    toeplitz: on", "    xor: off", "    crc32: off"]


def test_the_indirection_table_is_written() -> None:
    shell = Shell()
    table = shell.rig.rss.indirection
    shell("-X eth0 equal 2")
    assert shell.rig.rss.indirection[:4] == [0, 1, 0, 1]
    shell("-X eth0 start 2 equal 2")
    assert shell.rig.rss.indirection[:4] == [2, 3, 2, 3]
    shell("-X eth0 weight 1 0 3")
    assert [shell.rig.rss.indirection.count(queue) for queue in range(4)] == [512, 0, 1536, 0]
    key = ":".join(f"{value:02x}" for value in range(52))
    shell(f"-X eth0 default hkey {key} hfunc toeplitz")
    assert shell.rig.rss.indirection == table
    assert shell.rig.rss.key == bytes(range(52))
    assert not shell.rig.rss.configured


def test_the_fields_of_a_flow_type() -> None:
    shell = Shell()
    assert shell("-n eth0 rx-flow-hash udp4").splitlines()[1:] == [
        "IP SA",
        "IP DA",
        "L4 bytes 0 & 1 [TCP/UDP src port]",
        "L4 bytes 2 & 3 [TCP/UDP dst port]",
        "",
    ]
    shell("-N eth0 rx-flow-hash udp4 sd")
    assert shell("-u eth0 rx-flow-hash udp4") == (
        "UDP over IPV4 flows use these fields for computing Hash flow key:\nIP SA\nIP DA\n\n"
    )
    assert shell("-n eth0") == "4 RX rings available\nTotal 0 rules\n\n"


def test_statistics_are_those_of_the_device_as_of_now() -> None:
    shell = Shell(*[1000] * 100, queues=1, cpus=1, descriptors=64)
    seen: list[str] = []
    shell.rig.at(1500, lambda: seen.append(shell("-S eth0")))
    shell.rig.run()
    seen.append(shell("-S eth0"))
    before, after = (dict(line.split(": ") for line in text.splitlines()[1:]) for text in seen)
    assert list(before)[-5:] == [
        f"     {name}"
        for name in (
            "rx_queue_0_packets",
            "rx_queue_0_bytes",
            "rx_length_errors.nic",
            "rx_dropped.nic",
            "rx_crc_errors.nic",
        )
    ]
    assert (before["     rx_queue_0_packets"], before["     rx_dropped.nic"]) == ("0", "44")
    assert (after["     rx_queue_0_packets"], after["     rx_queue_0_bytes"]) == ("56", str(56 * 64))
    assert after["     rx_bytes"] == str(100 * 64)


def test_driver_and_link() -> None:
    shell = Shell()
    shell.rig.dev.speed_mbps = 25000
    assert shell("-i eth0").startswith("driver: ice\nversion: 6.9\n")
    assert "bus-info: 0000:01:00.0\n" in shell("--driver eth0")
    text = shell("eth0")
    assert text.startswith("Settings for eth0:\n") and "\tSpeed: 25000Mb/s\n\tDuplex: Full\n" in text
    assert text.endswith("\tLink detected: yes\n")
    assert "--set-channels" in shell("-h")


@pytest.mark.parametrize(
    ("words", "errno", "sentence"),
    [
        ("", "EINVAL", "wants an interface"),
        ("-L", "EINVAL", "wants an interface"),
        ("eth1", "ENODEV", "there is eth0"),
        ("-l lo", "EOPNOTSUPP", "no driver"),
        ("-Z eth0", "EOPNOTSUPP", "no option '-Z'"),
        ("--json -c eth0", "EOPNOTSUPP", "no option"),
        ("-l eth0 combined", "EINVAL", "takes nothing"),
        ("-L eth0", "EINVAL", "wants a setting"),
        ("-L eth0 comb 2", "EINVAL", "nearest is combined"),
        ("-L eth0 combined", "EINVAL", "wants a value"),
        ("-L eth0 combined 2 combined 3", "EINVAL", "twice"),
        ("-L eth0 combined -1", "EINVAL", "combined"),
        ("-L eth0 combined 5", "EINVAL", "maximum of 4"),
        ("-L eth0 combined 0", "EINVAL", "no RX or TX"),
        ("-L eth0 combined 3 rx 2", "EINVAL", "at most 4"),
        ("-L eth0 rx 2", "EINVAL", "at least 1 RX and 1 TX"),
        ("-L eth0 combined 2 other 0", "EINVAL", "other"),
        ("-G eth0 rx 63", "EINVAL", "64 to 8160"),
        ("-G eth0 rx 8161", "EINVAL", "64 to 8160"),
        ("-G eth0 rx-jumbo 64", "EOPNOTSUPP", "rx and tx"),
        ("-C eth0 rx-usecs 8161", "EINVAL", "0 to 8160"),
        ("-C eth0 rx-usecs 20 adaptive-rx on", "EINVAL", "adaptive-rx off"),
        ("-C eth0 tx-usecs 20", "EINVAL", "adaptive-tx off"),
        ("-C eth0 rx-usecs-high 20", "EINVAL", "cannot be changed"),
        ("-C eth0 adaptive-tx off rx-usecs-high 237", "EINVAL", "4 to 236"),
        ("-C eth0 rx-frames 10", "EOPNOTSUPP", "does not have"),
        ("-C eth0 adaptive-rx yes", "EINVAL", "on or off"),
        ("-K eth0 lro on", "EOPNOTSUPP", "[fixed]"),
        ("-K eth0 tso on gro on", "EOPNOTSUPP", "[fixed]"),
        ("-K eth0 gro on generic-receive-offload off", "EINVAL", "on and off"),
        ("-K eth0 grow on", "EINVAL", "nearest"),
        ("-X eth0", "EINVAL", "what to set"),
        ("-X eth0 equal 5", "EINVAL", "4 queues"),
        ("-X eth0 equal 0", "EINVAL", "4 queues"),
        ("-X eth0 start 3 equal 2", "EINVAL", "queue 4"),
        ("-X eth0 start 3", "EINVAL", "equal or weight"),
        ("-X eth0 weight 1 1 1 1 1", "EINVAL", "up to 4"),
        ("-X eth0 weight 0 0", "EINVAL", "not all"),
        ("-X eth0 equal 2 weight 1", "EINVAL", "exclude"),
        ("-X eth0 hkey aa:bb", "EINVAL", "takes 52"),
        ("-X eth0 equal 2 hkey " + ":".join(["zz"] * 52), "EINVAL", "no key"),
        ("-X eth0 hfunc xor", "EOPNOTSUPP", "toeplitz"),
        ("-X eth0 context new", "EOPNOTSUPP", "contexts"),
        ("-N eth0 rx-flow-hash udp4 m", "EINVAL", "sdfn"),
        ("-N eth0 rx-flow-hash sctp4 sd", "EOPNOTSUPP", "tcp4"),
        ("-N eth0 flow-type tcp4 action 1", "EOPNOTSUPP", "rules"),
        ("-N eth0 rx-flow-hash udp4", "EINVAL", "wants"),
        ("-n eth0 rule 3", "EOPNOTSUPP", "rules"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(words: str, errno: str, sentence: str) -> None:
    error = refusal(Shell(), words)
    assert (error.errno_name, sentence in error.message) == (errno, True), error.message


def test_channels_below_a_users_table_are_refused() -> None:
    shell = Shell()
    shell("-X eth0 equal 3")
    error = refusal(shell, "-L eth0 combined 2")
    assert error.errno_name == "EINVAL" and "ask for at least 3" in error.message
    shell("-L eth0 combined 3")
    assert len(shell.nic.rings) == 3


KEYWORDS = [
    "eth0",
    "combined",
    "rx",
    "tx",
    "rx-usecs",
    "adaptive-rx",
    "gro",
    "equal",
    "weight",
    "start",
    "hkey",
    "default",
    "rx-flow-hash",
    "udp4",
    "sd",
    "on",
    "off",
]
VALUES = ["0", "1", "3", "64", "0x10", "99999999999", "", "é", "-l", "-X"]
WORDS = st.sampled_from(KEYWORDS + VALUES)


@settings(max_examples=150, deadline=None)
@given(option=st.sampled_from("LGCKXN"), words=st.lists(WORDS, max_size=6))
def test_whatever_is_typed_only_a_refusal_that_changes_nothing_comes_out(option: str, words: list[str]) -> None:
    shell = TYPED
    before = (shell("-l eth0"), shell("-g eth0"), shell("-c eth0"), shell("-k eth0"), shell.rig.rss.indirection[:8])
    try:
        shell(" ".join([f"-{option}", "eth0", *(f"'{word}'" for word in words)]))
    except ControlError:
        after = (shell("-l eth0"), shell("-g eth0"), shell("-c eth0"), shell("-k eth0"), shell.rig.rss.indirection[:8])
        assert after == before


TYPED = Shell()
"""One for all that is typed at random."""


@pytest.mark.parametrize("option", ethtool.KEYWORDS)
def test_tab_offers_only_keywords_that_the_option_has(option: str) -> None:
    shell = Shell()
    for keyword in ethtool.KEYWORDS[option]:
        refusal = ""
        try:
            shell(f"{option} eth0 {keyword}" + " 1" * (keyword != "default"))
        except ControlError as error:
            refusal = error.message
        assert "has no setting" not in refusal, keyword


def test_what_shows_asks_and_what_sets_does_not() -> None:
    for line in ("eth0", "-l eth0", "--show-ring eth0", "-S eth0", "-h", "-x eth0", ""):
        assert asks(line.split())
    for line in ("-L eth0 combined 2", "--set-ring eth0 rx 64", "-N eth0 rx-flow-hash udp4 sdfn", "-K eth0 gro off"):
        assert not asks(line.split())
