"""Bad scenarios: file, line, key, and the nearest thing that would do."""

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.errors import CaptureError, ConfigError, InputFileError
from scenarios.build import build
from scenarios.catalog import open_scenario
from scenarios.load import load_scenario, parse_scenario
from scenarios.origin import CAPTURES, line_of
from scenarios.schema import Scenario

RATE = "[[traffic]]\nrate_pps = 1e5\n"
SINK = '[[app]]\nprotocol = "udp"\nport = 5001\n'


def refused(text: str, options: dict[Any, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_scenario(text, "f.toml", Path(), options or {})
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert message.isprintable()
    return message


def said(text: str, options: dict[Any, Any]) -> str:
    """What a scenario is refused with; nothing if it is taken."""
    try:
        parse_scenario(text, "f.toml", Path(), options)
    except ConfigError as error:
        return str(error)
    return ""


def taken(text: str, options: dict[Any, Any] | None = None) -> Scenario:
    return parse_scenario(text, "f.toml", Path(), options or {}).scenario


BAD = [
    ("[machine]\n\n# twelve\ncpu = 3", 4, "machine.cpu", "the nearest is cpus"),
    ("[machin]\ncpus = 3", 1, "machin", "the nearest is machine"),
    ("seed = 4", 1, "seed", "it belongs into [machine]"),
    ("[[at]]\ntime = '1ms'", 1, "at[0]", "do is missing"),
    ("[[at]]\ntime = '1ms'\ndo = []", 3, "at[0].do", "it is a list of 0"),
    ("[[at]]\ntime = 5\ndo = ['x']", 2, "at[0].time", "a duration with its unit"),
    ("[run]\nduration = '1ms'\n[[at]]\ntime = '2ms'\ndo = ['x']", 4, "at[0].time", "the run ends at 1ms"),
    ("ethtool = '-C eth0 rx-usecs 50'", 1, "ethtool", "expected a list"),
    ("[machine]\ncpus = 1000000", 2, "machine.cpus", "1000000, expected a whole number from 1 to 256"),
    ("[machine]\ncpus = -1", 2, "machine.cpus", "from 1 to 256"),
    ("[machine]\ncpus = 3.5", 2, "machine.cpus", "a whole number"),
    ("[machine]\ncpus = '4'", 2, "machine.cpus", 'it is "4"'),
    ("[machine]\ncpus = true", 2, "machine.cpus", "it is true"),
    ("[machine]\ncpus = 2026-01-01", 2, "machine.cpus", "2026-01-01"),
    ("[machine]\ncpus = [4]", 2, "machine.cpus", "a list of 1"),
    ("[machine]\nseed = 1" + "0" * 60, 2, "machine.seed", "bits"),
    ("[machine]\nclock_ghz = inf", 2, "machine.clock_ghz", "it is inf, expected a number from 0.1 to 20"),
    ("[machine]\nclock_ghz = nan", 2, "machine.clock_ghz", "it is nan"),
    ("machine = 3", 1, "machine", "expected a table"),
    ("[[machine]]\ncpus = 3", 1, "machine", "expected a table"),
    ("[machine]\nrules = '6.10'", 2, "machine.rules", "the nearest is 6.9"),
    ("[machine]\ncosts = 'broadwel'", 2, "machine.costs", "the nearest is broadwell-3.6"),
    ("[machine]\nhz = 500", 2, "machine.hz", "one of 100, 250, 300, 1000"),
    ("[machine]\nnodes = 5", 2, "machine.nodes", "only 4 CPUs"),
    ("[machine.prices]\nhardirq = 3\nipi = 3", 3, "machine.prices.ipi", "the nearest is ipi_send"),
    ("[machine.prices]\nhardirq = 3\nudp_rcv = -3", 3, "machine.prices.udp_rcv", "from 0 to 1_000_000_000"),
    ("[nic]\nring = 4611686018427387904", 2, "nic.ring", "from 64 to 8_160"),
    ("[nic]\nring = 100", 2, "nic.ring", "write 96 or 128"),
    ("[nic]\nqueues = 2\nvectors = 3", 3, "nic.vectors", "only 2 queues"),
    ("[nic]\nname = 'lo'", 2, "nic.name", "the loopback device"),
    ("[nic]\nname = '.'", 2, "nic.name", "write another name"),
    ("[nic]\nname = '..'", 2, "nic.name", "write another name"),
    ("[[app]]\nkind = 'busy'\nprotocol = 'tcp'\nport = 1", 3, "app[0].protocol", "reads udp only"),
    ("[[app]]\nkind = 'busy'\nprotocol = 'udp'\nport = [1, 2]", 4, "app[0].port", "one port, not 2"),
    ("[run]\nduration = '-5ms'", 2, "run.duration", "'-5ms' is negative"),
    ("[run]\nspeed = 0", 2, "run.speed", "from 0.0000001 to 1_000"),
    ("[nic]\nname = 'a b'", 2, "nic.name", "1 to 15 letters"),
    ('[nic]\nname = "a\\u001b[2J"', 2, "nic.name", "control character"),
    ('"a\\u001b" = 3', None, "", "control character"),
    ("[nic]\naffinity = '7'", 2, "nic.affinity", "the highest CPU is 3"),
    ("[nic]\naffinity = [\n 0,\n 1,\n 300]", 2, "nic.affinity[2]", "a CPU number or a CPU list"),
    ("[nic]\naffinity = ['0', 'zz']", 2, "nic.affinity", "in place of a CPU number"),
    ("[nic]\nqueues = 1\naffinity = [0, 1]", 3, "nic.affinity", "only 1 vectors"),
    ("[nic]\nindirection = [0, 9]", 2, "nic.indirection", "the highest is 3"),
    ("[nic]\nindirection = [0]\nweights = [1]", 3, "nic.weights", "one of the two"),
    ("[nic]\nweights = [0, 0]", 2, "nic.weights", "all weights are 0"),
    ("[nic]\nrss_key = 'ab'", 2, "nic.rss_key", "40 or 52 bytes"),
    ("[nic]\nnode = 1", 2, "nic.node", "the highest is 0"),
    ("[nic]\n[nic.rx_flow_hash]\nudp4 = 'ss'", 3, "nic.rx_flow_hash.udp4", "letters out of sdfn"),
    ("[traffic]\nrate_pps = 3", 1, "traffic", "expected a list"),
    ("\n[[traffic]]\nname = 'a'", 2, "traffic[0]", "rate_pps is missing"),
    (RATE + "\n[[traffic]]\n\nrate_pps = 0", 6, "traffic[1].rate_pps", "from 0.001 to 200_000_000"),
    (RATE + "pattern = 'poison'", 3, "traffic[0].pattern", "the nearest is poisson"),
    (RATE + "start = '2ms'\nstop = '1ms'", 4, "traffic[0].stop", "starts at 2ms"),
    (RATE + "stop = 5", 3, "traffic[0].stop", "a duration with its unit"),
    (RATE + "stop = '5'", 3, "traffic[0].stop", "a duration with its unit"),
    (RATE + "stop = '0.3ns'", 3, "traffic[0].stop", "whole number of nanoseconds"),
    (RATE + "on = '3ms'", 3, "traffic[0].on", 'without pattern = "onoff"'),
    (RATE + "ip = 6\nprotocol = 'tcp'\nsize = 64", 5, "traffic[0].size", "needs 78 bytes"),
    (RATE + "sizes = [[64, 1],\n[63, 1]]", 3, "traffic[0].sizes[1][0]", "from 64"),
    (RATE + "size = 64\nsizes = 'imix'", 4, "traffic[0].sizes", "twice"),
    (RATE + "src = '10.1.0.0/99'", 3, "traffic[0].src", "network like"),
    (RATE + "src = 'fd00::7'", 3, "traffic[0].src", "not of IPv4"),
    (RATE + "dst_port = [1, 1]", 3, "traffic[0].dst_port", "twice"),
    (RATE + "name = 'a'\n" + RATE + "name = 'a'", 6, "traffic[1].name", "taken by traffic[0]"),
    ("[capture]\nspeed = 2", 1, "capture", "file is missing"),
    ("[capture]\nfile = 'mixed'\nspeed = 2\nrate_pps = 5", 4, "capture.rate_pps", "speed or rate_pps"),
    ("[capture]\nfile = 'mixed'\nlocal = ['a']", 3, "capture.local[0]", "IPv4 or IPv6"),
    ("[capture]\nfile = 'nothere.pcap'", 2, "capture.file", "built in: mixed"),
    ("[[app]]\nport = 3", 2, "app[0].port", "without its protocol"),
    ("[[app]]", 1, "app[0]", "needs the port"),
    ("[[app]]\nkind = 'burner'\nport = 3", 3, "app[0].port", "no socket"),
    (SINK + "cpus = '4'", 4, "app[0].cpus", "the highest CPU is 3"),
    (SINK + "cpus = '3'", 4, "app[0].cpus", "a sink has no threads"),
    (SINK + "batch = 8", 4, "app[0].batch", "a sink has no threads"),
    (RATE + "dst = 'there'", 3, "traffic[0].dst", "no IPv4 or IPv6 address"),
    (RATE + "dst = 'fd00::9'", 3, "traffic[0].dst", "not of IPv4"),
    (SINK + "cpus = [0, 1]", 4, "app[0].cpus", "only 1 thread"),
    (SINK + SINK, 6, "app[1].port", "taken by app[0]"),
    (SINK + "work_ns = 3", 4, "app[0].work_ns", "write a reader"),
    ("[run]\nduration = '0s'", 2, "run.duration", "no length"),
    ("[run]\nduration = '1ms'\nwarmup = '1ms'", 3, "run.warmup", "over at 1ms"),
    ("[run]\nduration = '1ms'\n" + RATE + "start = '2ms'", 5, "traffic[0].start", "the run ends at 1ms"),
    ("[run]\nduration = '20h'\n[[traffic]]\nrate_pps = 1e8", 2, "run.duration", "is the most"),
    ("[set]\nnet.core.netdev_budget = 1.5", 2, "set.'net.core.netdev_budget'", "it is 1.5"),
    ("[set]\nnet.core = {}", 2, "set.'net.core'", "a table"),
    (
        RATE.replace("1e5", "1e6") + SINK + "kind = 'reader'\nrcvbuf = 1000000000\nthreads = 1000\nsockets = 'each'",
        3,
        "app",
        "GiB is the limit",
    ),
    ("a = ", 1, "", "not TOML"),
    ("[machine]\ncpus = 1\ncpus = 2", 3, "", "not TOML"),
    ("\na = " + "[" * 3000, 2, "", "too deep"),
    ("\n\na = " + "9" * 5000, 3, "", "thousands of digits"),
]


@pytest.mark.parametrize(("text", "line", "key", "words"), BAD, ids=[f"{key}-{words[:20]}" for _, _, key, words in BAD])
def test_a_bad_scenario_is_told_with_file_line_and_key(text: str, line: int | None, key: str, words: str) -> None:
    message = refused(text)
    place = "f.toml" if line is None else f"f.toml:{line}"
    assert message.startswith(f"{place}: {key}: " if key else f"{place}: ")
    assert words in message


def test_settings_may_be_quoted_or_dotted_and_keep_their_order() -> None:
    scenario = taken('[set]\n"/sys/class/net/eth0/threaded" = 1\nnet.core.netdev_budget = 600\nnet.core.rmem_max = "1"')
    assert list(scenario.set.items()) == [
        ("/sys/class/net/eth0/threaded", 1),
        ("net.core.netdev_budget", 600),
        ("net.core.rmem_max", "1"),
    ]


def test_an_option_takes_the_place_of_a_key_and_is_named_in_errors() -> None:
    text = "[machine]\ncpus = 2\n"
    assert taken(text, {("machine", "cpus"): ("--cpus", 8)}).machine.cpus == 8
    assert refused(text, {("machine", "cpus"): ("--cpus", 300)}) == (
        "--cpus: it is 300, expected a whole number from 1 to 256"
    )


def test_what_an_option_breaks_elsewhere_is_told_where_it_stands() -> None:
    message = refused(SINK + "cpus = 2", {("machine", "cpus"): ("--cpus", 1)})
    assert message == "f.toml:4: app[0].cpus: there is no CPU 2: the highest is 0"


def test_a_setting_from_the_command_line_is_written_last() -> None:
    scenario = taken(
        "[set]\nnet.core.netdev_budget = 1\nnet.core.dev_weight = 2",
        {("set", "net.core.netdev_budget"): ("--set", "5")},
    )
    assert list(scenario.set) == ["net.core.dev_weight", "net.core.netdev_budget"]


def test_a_local_address_without_a_capture_is_refused() -> None:
    assert refused(RATE, {("capture", "local"): ("--local", ["10.0.0.1"])}) == "--local: f.toml plays no capture"


def test_free_text_may_have_lines_and_names_may_not() -> None:
    assert taken('[scenario]\nlook_for = """a\nb"""').scenario.look_for == "a\nb"
    assert "control character" in refused('[scenario]\nname = """a\nb"""')


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="it is a directory"):
        load_scenario(tmp_path)
    with pytest.raises(InputFileError, match="cannot be read"):
        load_scenario(tmp_path / "nothing.toml")
    huge = tmp_path / "huge.toml"
    huge.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_scenario(huge)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[scenario]\nname = '\xe4'\n")
    with pytest.raises(ConfigError, match=r"latin\.toml:2: not UTF-8"):
        load_scenario(latin)


def test_a_capture_is_looked_for_beside_its_scenario(tmp_path: Path) -> None:
    (tmp_path / "c.pcap").write_bytes(b"\x0a\x0d\x0d\x0a")
    (tmp_path / "s.toml").write_text("[capture]\nfile = 'c.pcap'\n")
    loaded = load_scenario(tmp_path / "s.toml")
    assert loaded.origin.capture_path("c.pcap") == tmp_path / "c.pcap"
    assert loaded.origin.capture_path("mixed").is_file()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("folder", "it is a directory"),
        ("pipe", "it is a pipe"),
        ("null", "it is a device"),
        ("null.pcap", "it is a device"),
        ("empty", "it is empty"),
        ("empty.pcap", "it is empty"),
        ("a.pcap.gz", "it is compressed (gzip), unpack it first"),
        ("a.pcap", "it is compressed (zstd), unpack it first"),
    ],
)
def test_a_file_of_another_kind_is_told_with_its_kind(what: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("null", "null.pcap"):
        (tmp_path / name).symlink_to("/dev/null")
    for name in ("empty", "empty.pcap"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.pcap.gz").write_bytes(gzip.compress(b"some frames"))
    (tmp_path / "a.pcap").write_bytes(bytes.fromhex("28b52ffd0000"))
    with pytest.raises(InputFileError) as caught:
        open_scenario(str(tmp_path / what))
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(f"{tmp_path / what}: {reason}")
    (tmp_path / "s.toml").write_text(f"[capture]\nfile = './{what}'\n")
    with pytest.raises(InputFileError) as caught:
        load_scenario(tmp_path / "s.toml")
    assert str(caught.value).startswith(f"{tmp_path / 's.toml'}:2: capture.file: {reason}")


@pytest.mark.parametrize(
    ("target", "words"), [("header", "has no Ethernet frame"), ("/proc/self/mem", "no capture, there are only 0 bytes")]
)
def test_an_unreadable_capture_is_named_once(target: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "header").write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    capture = tmp_path / "c.pcap"
    capture.symlink_to(target)
    loaded = open_scenario(str(capture))
    with pytest.raises(CaptureError) as caught:
        build(loaded.scenario, loaded.origin, 1)
    assert str(caught.value).startswith(f"{capture}: {words}")
    assert str(caught.value).count(str(capture)) == 1


def test_a_scenario_without_a_name_is_called_like_its_file(tmp_path: Path) -> None:
    file = tmp_path / "many flows.toml"
    file.write_text("")
    assert load_scenario(file).scenario.scenario.name == "many flows"
    file.write_text("[scenario]\nname = 'few'\n")
    assert load_scenario(file).scenario.scenario.name == "few"
    capture = CAPTURES / "mixed.pcap"
    assert open_scenario(str(capture)).scenario.scenario.name == "mixed"


def test_what_the_nic_refuses_is_told_with_file_line_and_key() -> None:
    loaded = parse_scenario('[nic]\nqueues = 256\naffinity = "0"', "f.toml", Path())
    with pytest.raises(
        ConfigError, match=r"f\.toml:3: nic\.affinity: vector \d+: no CPU of 0 has an interrupt vector left"
    ):
        build(loaded.scenario, loaded.origin, 1)


def test_a_refused_setting_is_named_once() -> None:
    path = "/sys/class/net/eth0/queues/rx-0/rps_cpus"
    loaded = parse_scenario("", "f.toml", Path(), {("set", path): (f"--set {path}", "zz")})
    with pytest.raises(ConfigError) as caught:
        build(loaded.scenario, loaded.origin, 1)
    assert str(caught.value).startswith(f"--set {path}: EINVAL: 'zz' is no CPU mask")
    assert str(caught.value).count(path) == 1


def test_lines_are_found_through_whatever_toml_allows() -> None:
    text = 'a.b = 1\n\n# b\n["x y"]\nm = """\nb = 1\n"""\nl = [\n  1, # ]\n  2,\n]\n[[t]]\n[[t]]\nq = {r = 1}\n'
    assert line_of(text, ("a", "b")) == 1
    assert line_of(text, ("x y",)) == 4
    assert line_of(text, ("x y", "m")) == 5
    assert line_of(text, ("x y", "l", 1)) == 8
    assert line_of(text, ("t", 1)) == 13
    assert line_of(text, ("t", 1, "q", "r")) == 14
    assert line_of(text, ("t", 1, "missing")) == 13
    assert line_of(text, ("nothing",)) is None
    assert line_of(text.replace("\n", "\r\n"), ("t", 1, "q")) == 14


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_refused_in_one_printable_line(text: str) -> None:
    assert said(text, {}).isprintable()


VALUES = st.recursive(
    st.integers() | st.floats() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    ("machine", "cpus"),
    ("nic", "affinity"),
    ("traffic",),
    ("app",),
    ("set", "x"),
    ("run", "duration"),
    ("capture",),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KEYS), VALUES)
def test_any_value_is_taken_or_refused_and_nothing_else(path: tuple[str, ...], value: object) -> None:
    assert said("", {path: ("--option", value)}).isprintable()
