"""Saved runs: the scenario with its options, seed and live commands, which repeats the run."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scenarios.catalog import names, open_scenario
from scenarios.load import LoadedScenario, parse_scenario
from scenarios.save import save, saved_text
from scenarios.schema import Scenario
from scenarios.user import Done

TEXT = """\
# what it is about
ethtool = ["-C eth0 rx-usecs 50"]  # kept
[machine]
cpus = 2  # two
[set]
net.core.netdev_budget = 500
"net.core.dev_weight" = 32
[[traffic]]
rate_pps = 1000
[[at]]
time = "1ms"
do = ["cat /proc/net/softnet_stat"]
"""

DONE = [
    Done(1_000_000, "cat /proc/net/softnet_stat", "", True, False),
    Done(2_000_000, "echo 1 > /a", "", False, True),
    Done(2_000_000, "echo 'x y' > /b", "", False, True),
    Done(2_500_000, "cat /c", "text", True, True),
    Done(2_500_001, "ethtool -L eth0 combined 2", "", False, True),
]


def loaded(text: str, options: dict[Any, tuple[str, Any]] | None = None) -> LoadedScenario:
    return parse_scenario(text, "box.toml", Path(), options or {})


def without_events(scenario: Scenario) -> Scenario:
    return msgspec.structs.replace(scenario, at=(), machine=msgspec.structs.replace(scenario.machine, seed=None))


def test_live_commands_become_events_at_their_nanosecond_and_questions_do_not() -> None:
    document = tomllib.loads(saved_text(loaded(TEXT), 7, DONE))
    assert document["at"] == [
        {"time": "1ms", "do": ["cat /proc/net/softnet_stat"]},
        {"time": "2ms", "do": ["echo 1 > /a", "echo 'x y' > /b"]},
        {"time": "2500001ns", "do": ["ethtool -L eth0 combined 2"]},
    ]
    assert document["machine"] == {"cpus": 2, "seed": 7}


def test_comments_are_kept() -> None:
    text = saved_text(loaded(TEXT), 7, DONE)
    for comment in ("# what it is about", "# kept", "# two"):
        assert comment in text


def test_options_of_the_command_line_are_in_it() -> None:
    options: dict[Any, tuple[str, Any]] = {
        ("machine", "cpus"): ("--cpus", 8),
        ("nic", "queues"): ("--queues", 3),
        ("set", "net.core.netdev_budget"): ("--set", "600"),
        ("set", "/proc/irq/32/smp_affinity"): ("--set", "3"),
        ("ethtool", 0): ("--ethtool", "-G eth0 rx 512"),
        ("run", "duration"): ("--duration", "5ms"),
    }
    given = loaded(TEXT, options)
    again = loaded(saved_text(given, 7, DONE))
    assert without_events(again.scenario) == without_events(given.scenario)
    assert again.scenario.ethtool == ("-C eth0 rx-usecs 50", "-G eth0 rx 512")
    assert again.scenario.set["net.core.netdev_budget"] == "600"
    assert len(again.scenario.at) == 3


def test_ethtool_lines_of_the_command_line_stand_before_the_first_table() -> None:
    given = loaded("[machine]\ncpus = 3\n", {("ethtool", 0): ("--ethtool", "-G eth0 rx 512")})
    assert loaded(saved_text(given, 1, [])).scenario.ethtool == ("-G eth0 rx 512",)


@pytest.mark.parametrize("name", names())
def test_every_built_in_scenario_saved_is_itself(name: str, tmp_path: Path) -> None:
    given = open_scenario(name)
    path = save(given, 5, DONE, tmp_path)
    again = open_scenario(str(path))
    saved, original = without_events(again.scenario), without_events(given.scenario)
    if original.capture is not None:
        assert saved.capture is not None
        assert again.origin.capture_path(saved.capture.file) == given.origin.capture_path(original.capture.file)
        original = msgspec.structs.replace(original, capture=saved.capture)
    assert saved == original
    assert again.scenario.machine.seed == 5


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    first = save(loaded(TEXT), 7, [], tmp_path)
    second = save(loaded(TEXT), 7, DONE, tmp_path)
    assert (first.name, second.name) == ("box-7.toml", "box-7-2.toml")
    assert "2500001ns" not in first.read_text()


def test_a_name_that_is_no_file_s_name_is_made_one(tmp_path: Path) -> None:
    given = loaded('[scenario]\nname = "../a b/c"\n')
    assert save(given, 1, [], tmp_path) == tmp_path / "a-b-c-1.toml"


def test_a_capture_s_path_is_made_absolute(tmp_path: Path) -> None:
    capture = tmp_path / "some.pcap"
    capture.write_bytes(open_scenario("capture").origin.capture_path("mixed").read_bytes())
    given = parse_scenario('[capture]\nfile = "some.pcap"\n', "box.toml", tmp_path)
    assert tomllib.loads(saved_text(given, 1, []))["capture"]["file"] == str(capture)
