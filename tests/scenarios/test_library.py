"""The built-in scenarios: all of them load, and say what to look for."""

import re
from pathlib import Path

import pytest

from emu.errors import ConfigError, InputFileError
from scenarios.catalog import LIBRARY, entries, is_capture, names, open_scenario

LISTED = {
    "all-vectors-cpu0",
    "capture",
    "cpus-64",
    "elephant",
    "flow-limit",
    "gro-off",
    "gro-on",
    "one-queue",
    "one-queue-rps",
    "overload",
    "published-cloudflare-2015",
    "published-raw-drop",
    "published-rps-dispatcher",
    "published-udp-lookup",
    "published-udp-overload",
    "published-udp-recvmsg",
    "rfs",
    "rss-4",
    "same-cpu-6.1",
    "same-cpu-6.9",
    "single-flow",
    "single-flow-rps",
    "socket-overflow",
    "squeeze-budget",
    "squeeze-time",
}


def test_the_library_has_what_is_promised() -> None:
    assert set(names()) >= LISTED


@pytest.mark.parametrize("name", names())
def test_a_library_scenario_loads_and_tells_what_to_look_for(name: str) -> None:
    loaded = open_scenario(name)
    about = loaded.scenario.scenario
    assert about.name == name
    assert about.description.endswith(".")
    assert about.look_for
    assert loaded.scenario.run.duration or loaded.scenario.capture
    assert loaded.scenario.traffic or loaded.scenario.capture


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_a_library_file_begins_with_a_comment_on_what_to_look_for(entry: object) -> None:
    text = Path(entry.path).read_text()  # type: ignore[attr-defined]
    comment = text.partition("\n[")[0]
    assert "# Look for:" in comment
    assert all(line.startswith("#") for line in comment.splitlines() if line)


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("published-")])
def test_a_published_row_says_where_it_comes_from_and_what_was_fitted(name: str) -> None:
    text = (LIBRARY / f"{name}.toml").read_text().partition("\n[")[0].lower()
    assert "published row" in text
    assert "fitted" in text
    assert re.search(r"\(.*20\d\d", text.replace("\n# ", " "))


def test_the_same_frames_reach_the_variants_of_one_queue() -> None:
    first = open_scenario("one-queue").scenario
    for name in ("one-queue-rps", "rss-4", "all-vectors-cpu0"):
        other = open_scenario(name).scenario
        assert (other.traffic, other.app, other.run) == (first.traffic, first.app, first.run)
        assert other.machine.seed == first.machine.seed


def test_same_cpu_differs_in_the_rules_alone() -> None:
    old, new = open_scenario("same-cpu-6.1").scenario, open_scenario("same-cpu-6.9").scenario
    assert (old.machine.rules, new.machine.rules) == ("6.1", "6.9")
    assert (old.nic, old.traffic, old.app, old.run) == (new.nic, new.traffic, new.app, new.run)


def test_gro_on_and_off_differ_in_gro_alone() -> None:
    on, off = open_scenario("gro-on").scenario, open_scenario("gro-off").scenario
    assert (on.nic.gro, off.nic.gro) == (True, False)
    assert (on.machine, on.traffic, on.app, on.run) == (off.machine, off.traffic, off.app, off.run)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("one-queu", "one-queue"), ("RSS-4", "rss-4"), ("same-cpu", "same-cpu-6."), ("gro_on", "gro-on")],
)
def test_a_wrong_name_is_told_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(ConfigError, match=f"the nearest is {right}"):
        open_scenario(wrong)


def test_a_capture_is_known_by_its_bytes_or_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "frames.bin"
    odd.write_bytes(bytes.fromhex("0a0d0d0a"))
    named = tmp_path / "frames.pcap"
    named.write_bytes(b"")
    scenario = tmp_path / "a.toml"
    scenario.write_text("")
    assert is_capture(odd)
    assert is_capture(named)
    assert not is_capture(scenario)
    loaded = open_scenario(str(odd))
    assert loaded.scenario.capture is not None
    assert loaded.origin.capture_path(loaded.scenario.capture.file) == odd


@pytest.mark.parametrize("what", ["", "a\0b", "x" * 5000, "/", ".", "..", "../library/one-queue"])
def test_what_is_no_scenario_is_refused(what: str) -> None:
    with pytest.raises((ConfigError, InputFileError)):
        open_scenario(what)
