"""`softnet explain`: everything that has a name has a topic, and what topics state of this machine is true."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.dropreason import DropReason
from emu.rules import RULES
from emu.tree import sysctl_name
from monitor.cpu_row import Columns, heading
from monitor.drop_panel import drop_panel
from monitor.latency_panel import latency_panel
from monitor.lines import View
from monitor.queue_panel import queue_panel
from monitor.rates import delta
from netstack.snmp import Snmp
from scenarios.build import build
from scenarios.catalog import names
from scenarios.cli import main
from scenarios.commands.scenario_options import ScenarioOptions
from scenarios.explain.lookup import Catalogue
from scenarios.explain.topics import ABSENT, Topic, load_topics
from scenarios.explain.words import default_words
from scenarios.load import parse_scenario
from scenarios.machine import Machine
from softirq.device import DeviceStatistics
from softirq.net import Latencies
from tests.monitor.machine import MadeUpMachine

ROOT = Path(__file__).parent.parent.parent
SOURCE = "".join(
    path.read_text()
    for folder in ("emu", "cpus", "softirq", "nic", "netstack")
    for path in sorted((ROOT / folder).glob("*.py"))
    if path.name not in ("dropreason.py", "mib.py")
)
CATALOGUE = Catalogue(load_topics(), names())


@cache
def machine(release: str = "6.9", hz: int = 250) -> Machine:
    text = f'[machine]\ncpus = 4\nrules = "{release}"\nhz = {hz}\n[nic]\nqueues = 2\n'
    loaded = parse_scenario(text, "test.toml", ROOT)
    return build(loaded.scenario, loaded.origin, 1).machine


def named(text: str) -> list[str]:
    return [topic.name for topic in CATALOGUE.find(text)]


# ------------------------------------------------------------------ coverage


def test_every_control_file_has_exactly_one_topic_and_is_found_by_its_path_and_sysctl_name() -> None:
    for path in machine().tree.paths():
        covering = [topic for topic in CATALOGUE.topics if topic.covers(path)]
        assert len(covering) == 1, path
        assert CATALOGUE.find(path) == covering
        assert covering[0] in CATALOGUE.find(sysctl_name(path))
        assert covering[0] in CATALOGUE.find(path.rpartition("/")[2]) or path.rpartition("/")[2].isdigit()


def test_every_ethtool_setting_that_a_scenario_names_has_a_topic() -> None:
    schema = (ROOT / "scenarios/schema.py").read_text()
    named_settings = re.findall(r"ethtool (-[A-Z])(?: eth0| IF)? ([a-z-]+)", schema)
    assert len(named_settings) >= 9
    for flag, word in named_settings:
        found = CATALOGUE.find(f"ethtool {flag} eth0 {word}")
        assert found and found[0].group == "ethtool settings", (flag, word)
        assert found == CATALOGUE.find(f"{flag} {word}")


def test_every_drop_reason_has_a_topic() -> None:
    for reason in DropReason:
        assert reason.name in named(reason.name)
        assert reason.name in named(f"SKB_DROP_REASON_{reason.name}")


def test_every_latency_stage_has_a_topic() -> None:
    for stage in Latencies().by_stage():
        assert f"stage {stage}" in named(stage)


def test_every_column_of_softnet_stat_has_a_topic() -> None:
    columns = len(machine().tree.read("/proc/net/softnet_stat").splitlines()[0].split())
    assert columns == 15
    for number in range(1, columns + 1):
        assert CATALOGUE.find(f"softnet_stat column {number}"), number


def test_every_column_of_the_screen_has_a_topic() -> None:
    made_up = MadeUpMachine(4, 4)
    before = made_up.snapshot()
    made_up.advance(10_000_000)
    snapshot = made_up.snapshot()
    rates = delta(before, snapshot)
    view = View(120, 40)
    lines = [heading(Columns.of(width)) for width in (80, 120)]
    lines.append(queue_panel(snapshot, rates, view, 79, 10)[1])
    lines.append(latency_panel(snapshot, view, 60, 10)[1])
    lines.append(drop_panel(snapshot, rates, view, 40, 10)[1])
    columns = {word for line in lines for word in line.plain.split()}
    assert len(columns) > 30
    assert not {word for word in columns if not CATALOGUE.find(word)}


def test_every_counter_of_snmp_has_a_topic() -> None:
    counters = Snmp().as_dict()
    assert len(counters) > 150
    for name in counters:
        assert CATALOGUE.find(name), name
        assert CATALOGUE.find(name.replace(".", "")) == CATALOGUE.find(name)


def test_every_counter_of_a_device_has_a_topic() -> None:
    for name in DeviceStatistics.__slots__:
        assert CATALOGUE.find(name), name


def test_every_key_of_a_scenario_has_a_topic_that_says_something() -> None:
    keys = [topic for topic in CATALOGUE.topics if topic.group == "Keys of scenario files"]
    assert len(keys) > 80
    assert {"machine.hz", "nic.ring", "traffic.rate_pps", "app.rcvbuf", "run.duration", "[[app]]", "set"} <= {
        topic.name for topic in keys
    }
    for topic in keys:
        assert "emu." not in topic.meaning
    assert "6.1, 6.9, 6.12, 6.18" in CATALOGUE.find("machine.rules")[0].meaning


# --------------------------------------------------------------- consistency


def test_names_that_topics_mention_lead_somewhere() -> None:
    for topic in CATALOGUE.topics:
        for name in (*topic.see, *topic.shown_by):
            found = CATALOGUE.find(name)
            assert found, f"{topic.name}: {name}"
            assert found != [topic], f"{topic.name} refers to itself"


def test_no_two_topics_of_a_group_have_one_name() -> None:
    keys = [(topic.group, topic.name) for topic in CATALOGUE.topics]
    assert len(set(keys)) == len(keys)


def demonstrations() -> list[str]:
    return sorted({words for topic in CATALOGUE.topics for words in topic.try_})


@pytest.mark.parametrize("words", demonstrations())
def test_a_demonstration_is_a_scenario_that_takes_its_settings(words: str) -> None:
    name, *options = shlex.split(words)
    assert name in names()
    changed = [value for option, value in zip(options[::2], options[1::2], strict=True) if option == "--set"]
    assert set(options[::2]) <= {"--set", "--seed", "--queues"}
    if changed:
        loaded = ScenarioOptions(set_=changed).open(name).loaded
        build(loaded.scenario, loaded.origin, 1)


@pytest.mark.parametrize("hz", [100, 250, 300, 1000])
@pytest.mark.parametrize("release", list(RULES))
def test_a_stated_default_is_what_a_machine_reads_that_was_just_booted(release: str, hz: int) -> None:
    tree = machine(release, hz).tree
    stated = 0
    for topic in CATALOGUE.topics:
        expected = topic.default_under(release, hz)
        if expected is None:
            continue
        files = [path for path in tree.paths() if topic.covers(path) and not path.startswith("/sys/class/net/lo/")]
        if expected == ABSENT:
            assert not files, topic.name
            continue
        assert files, topic.name
        for path in files:
            assert tree.read(path).strip() == expected, f"{path} under {release} at HZ={hz}"
            stated += 1
    assert stated > 20


def test_whatever_can_be_written_says_its_default() -> None:
    tree = machine().tree
    for path in tree.paths():
        if tree.entry(path).write is not None:
            (topic,) = [topic for topic in CATALOGUE.topics if topic.covers(path)]
            assert default_words(topic), path
            assert topic.change, path


def test_a_reason_said_never_to_happen_is_in_no_code_and_every_other_is() -> None:
    for reason in DropReason:
        (topic,) = [topic for topic in CATALOGUE.find(reason.name) if topic.group == "Drop reasons"]
        in_code = bool(re.search(rf"\b{reason.name}\b", SOURCE))
        if reason is not DropReason.SKB_CONSUMED:
            assert in_code != topic.here.startswith("Never"), reason.name


def test_a_counter_said_to_stay_0_is_moved_by_no_code() -> None:
    still = [topic for topic in CATALOGUE.topics if topic.here.startswith("Stays 0")]
    assert len(still) > 15
    for topic in still:
        column = re.sub(r"\A(IpExt|TcpExt|Ip6|Ip|Icmp|Udp|Tcp)", "", topic.name)
        assert not re.search(rf"\.{column} \+=", SOURCE), topic.name


# --------------------------------------------------------------------- words


def test_the_time_limit_is_two_jiffies_in_every_release() -> None:
    (topic,) = CATALOGUE.find("net.core.netdev_budget_usecs")
    assert default_words(topic).startswith(
        "20000 at HZ=100; 8000 at HZ=250; 6666 at HZ=300; 2000 at HZ=1000 (two jiffies"
    )


def test_defaults_that_changed_say_where() -> None:
    assert default_words(CATALOGUE.find("rmem_max")[0]) == "212992 in 6.1, 6.9 and 6.12; 4194304 in 6.18"
    assert default_words(CATALOGUE.find("rps_default_mask")[0]) == "not in 6.1; 0 in 6.9, 6.12 and 6.18"
    assert default_words(CATALOGUE.find("netdev_budget")[0]) == "300"


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("netdev_budget", "netdev_budget"),
        ("net.core.netdev_budget", "netdev_budget"),
        ("net/core/netdev_budget", "netdev_budget"),
        ("/proc/sys/net/core/netdev_budget", "netdev_budget"),
        ("NETDEV-BUDGET", "netdev_budget"),
        ("/sys/class/net/enp1s0f0/queues/rx-17/rps_cpus", "rps_cpus"),
        ("/proc/irq/123/smp_affinity_list", "smp_affinity"),
        ("ethtool -C eth0 rx-usecs 50", "rx-usecs"),
        ("-C rx-usecs", "rx-usecs"),
        ("ethtool --set-ring eth0 rx 4096", "ring"),
        ("ethtool -x eth0", "indirection table"),
        ("UdpRcvbufErrors", "UdpRcvbufErrors"),
        ("Udp.RcvbufErrors", "UdpRcvbufErrors"),
        ("Udp6RcvbufErrors", "UdpRcvbufErrors"),
        ("RcvbufErrors", "UdpRcvbufErrors"),
        ("TCPBacklogDrop", "TcpExtTCPBacklogDrop"),
        ("node_softnet_times_squeezed_total", "time_squeeze"),
        ("p/poll", "p/poll"),
        ("b/t", "sqz"),
        ("nic.ring", "nic.ring"),
        ("two words  with blanks: gro_normal_batch", ""),
    ],
)
def test_a_topic_goes_by_many_spellings(text: str, topic: str) -> None:
    assert (named(text) or [""])[0] == topic


def test_a_word_with_several_meanings_shows_them_all() -> None:
    assert named("ring") == ["ring", "stage ring", "column ring", "nic.ring"]
    assert set(named("InErrors")) == {"UdpInErrors", "IcmpInErrors"}


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_any_text_finds_topics_or_the_nearest(text: str) -> None:
    found = CATALOGUE.find(text)
    assert all(isinstance(topic, Topic) for topic in found)
    said = str(CATALOGUE.unknown(text))
    assert said.isprintable()
    nearest = re.search(r"the nearest is (.*) \(`softnet explain`", said)
    assert nearest is not None and (CATALOGUE.find(nearest[1]) or nearest[1] in names())


# ------------------------------------------------------------------- command


def test_the_command_prints_a_topic(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "netdev_budget_usecs"]) == 0
    said = capsys.readouterr().out
    assert "  read      sysctl net.core.netdev_budget_usecs\n" in said
    assert "  try       softnet run squeeze-time\n" in said
    assert main(["explain", "ethtool", "-C", "eth0", "rx-usecs", "50"]) == 0
    assert capsys.readouterr().out.startswith("rx-usecs  (ethtool settings)")


def test_the_command_prints_a_scenario_and_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "squeeze-budget"]) == 0
    said = capsys.readouterr().out
    assert "look for" in said
    assert "netdev_budget" in said


def test_the_command_alone_lists_every_topic_and_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for topic in CATALOGUE.topics:
        assert topic.name in said
    for name in names():
        assert name in said


def test_the_document_has_a_default_for_each_release_and_hz(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "rmem_max", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    (topic,) = document["topics"]
    assert topic["defaults"]["6.18"] == {"100": "4194304", "250": "4194304", "300": "4194304", "1000": "4194304"}
    assert main(["explain", "--json"]) == 0
    everything = json.loads(capsys.readouterr().out)
    assert len(everything["topics"]) == len(CATALOGUE.topics)
    assert [scenario["name"] for scenario in everything["scenarios"]] == names()


def test_what_is_unknown_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "netdev_budgett"]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert said.err == (
        "softnet: explain: there is no topic 'netdev_budgett'; the nearest is netdev_budget (`softnet explain` lists them)\n"
    )
