"""`softnet conform` as a command: what it prints, and with which code it ends."""

from __future__ import annotations

import copy
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scenarios.cli import main
from scenarios.conform.formats import replay_file
from scenarios.conform.load import load
from scenarios.conform.report import Differs, expect

GOLDEN = Path(__file__).parent.parent / "golden"
Change = Callable[[dict[str, Any]], None]


def golden(name: str, kernel: str = "6.12") -> dict[str, Any]:
    with lzma.open(GOLDEN / kernel / f"{name}.json.xz", "rt") as file:
        loaded: dict[str, Any] = json.load(file)
        return loaded


def write(folder: Path, data: object, name: str = "recording.json") -> str:
    path = folder / name
    path.write_text(json.dumps(data))
    return str(path)


def test_agreement_ends_with_0_and_a_line_per_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", str(GOLDEN / "6.1" / "rfs.json.xz"), str(GOLDEN / "6.12" / "rps.json.xz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("6.1/rfs.json.xz: 9 passed, 0 failed (rules 6.1)")
    assert lines[1].endswith("6.12/rps.json.xz: 24 passed, 0 failed (rules 6.12)")
    assert lines[2] == "2 files: 33 passed, 0 failed"


def test_a_difference_ends_with_1_and_tells_where_expected_and_got(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = golden("rfs")
    data["cases"] = {"follow_reader": data["cases"]["follow_reader"]}
    data["cases"]["follow_reader"]["log"][3]["handled_on"] = [7]
    assert main(["conform", write(tmp_path, data)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("0 passed, 1 failed (rules 6.12)")
    assert lines[1].startswith("  failed      follow_reader: log 3 (send a): handled on #0 [R4-R8")
    assert lines[2:] == ["    expected  7", "    got       3"]


def test_json_has_every_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = golden("stack")
    data["cases"]["udp4_ok"]["counters"]["Ip.InReceives"] = 2
    assert main(["conform", "--json", "--only", "udp4_*", write(tmp_path, data)]) == 1
    document = json.loads(capsys.readouterr().out)
    cases = {case["case"]: case for case in document["files"][0]["cases"]}
    assert cases["udp4_ok"]["status"] == "failed"
    assert cases["udp4_ok"]["difference"] == {
        "at": "counter Ip.InReceives",
        "expected": 2,
        "got": 1,
        "rule": "sections 8-10, K1-K3, K7",
    }
    assert document["failed"] == 1
    assert document["passed"] == len(cases) - 1
    assert all(name.startswith("udp4_") for name in cases)


def test_verbose_names_passed_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "-v", "--only", "two_napis", str(GOLDEN / "6.1" / "trace.json.xz")]) == 0
    assert "  passed      two_napis" in capsys.readouterr().out.splitlines()


def test_only_takes_the_name_of_a_case_with_all_its_modes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--only", "inorder_1", str(GOLDEN / "6.1" / "gro.json.xz")]) == 0
    assert "5 passed, 0 failed" in capsys.readouterr().out


def test_a_pattern_that_fits_no_case_is_a_wrong_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--only", "nothing", str(GOLDEN / "6.1" / "rfs.json.xz")]) == 2
    assert "no case has such a name" in capsys.readouterr().err


def test_no_file_is_a_wrong_setting() -> None:
    assert main(["conform"]) == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "a recording is a JSON object"),
        (b"{}", "meta"),
        (b'{"meta": {"kernel": "6.1", "HZ": 250, "cpus": 0}}', "0 CPUs"),
        (b'{"meta": {"kernel": "6.1", "HZ": 251, "cpus": 8}}', "HZ=251"),
        (b'{"meta": {"kernel": "2.6.32", "HZ": 250, "cpus": 8}, "cases": {"a": {"log": []}}}', "older than 6.1"),
        (b'{"meta": {"kernel": "six", "HZ": 250, "cpus": 8}, "cases": {"a": {"log": []}}}', "names no release"),
        (b'{"meta": {"kernel": "6.1", "HZ": 250, "cpus": 8}, "cases": {}}', "no cases"),
        (b'{"meta": {"kernel": "6.1", "HZ": 250, "cpus": 8}, "cases": {"a": {"b": 1}}}', "none of the formats"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_3_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, told: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    assert main(["conform", str(path)]) == 3
    assert told in capsys.readouterr().err


def test_a_damaged_xz_file_ends_with_3(tmp_path: Path) -> None:
    path = tmp_path / "bad.json.xz"
    path.write_bytes((GOLDEN / "6.1" / "rfs.json.xz").read_bytes()[:100])
    assert main(["conform", str(path)]) == 3


@pytest.mark.parametrize("place", ["nothing_there", "a\0b", "."])
def test_a_place_without_recordings_ends_with_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["conform", place]) == 3


def _no_such_cpu(data: dict[str, Any]) -> None:
    data["cases"]["follow_reader"]["log"][1]["irq_cpu"] = 8


def _no_such_queue(data: dict[str, Any]) -> None:
    data["cases"]["follow_reader"]["log"][1]["queue"] = 8


def _no_socket(data: dict[str, Any]) -> None:
    data["cases"]["follow_reader"]["log"][1]["name"] = "z"


def _text_for_a_number(data: dict[str, Any]) -> None:
    data["cases"]["follow_reader"]["log"][1]["n"] = "one"


@pytest.mark.parametrize("change", [_no_such_cpu, _no_such_queue, _no_socket, _text_for_a_number])
def test_a_case_that_cannot_be_read_does_not_keep_the_others_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change
) -> None:
    data = golden("rfs")
    change(data)
    assert main(["conform", write(tmp_path, data)]) == 3
    captured = capsys.readouterr()
    assert "8 passed, 0 failed" in captured.out
    assert "case follow_reader" in captured.err


def test_what_cannot_be_judged_is_told_and_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = golden("softnet")
    data["cases"]["plain_10_tcp_merged"]["sysctl"]["net.core.unheard_of"] = 1
    assert main(["conform", "--only", "plain*", write(tmp_path, data)]) == 0
    out = capsys.readouterr().out
    assert "0 passed, 0 failed, 1 not judged" in out
    assert "not judged  plain_10_tcp_merged: softnet has no net.core.unheard_of" in out


def test_recordings_are_replayed_under_the_rules_of_their_kernel(tmp_path: Path) -> None:
    data = golden("trace", "6.1")
    data["meta"]["kernel"] = "6.12.95"
    path = write(tmp_path, data)
    result = replay_file(load(Path(path)))
    # 6.1 raises NET_RX for an RPS enqueue, 6.12 does not (K5).
    assert {case.name for case in result.cases if case.status == "failed"} >= {"rps_one_udp_to_cpu2", "rps_to_own_cpu"}


def test_a_kernel_between_two_releases_gets_the_rules_of_the_older(tmp_path: Path) -> None:
    data = golden("rfs")
    data["meta"]["kernel"] = "6.6.30-generic"
    assert load(Path(write(tmp_path, data))).rules.release == "6.1"


def _spoil_delta(case: dict[str, Any]) -> None:
    case["delta"]["1"]["0"] += 1


def _spoil_poll(case: dict[str, Any]) -> None:
    case["polls"][0][2] += 1


def _spoil_order(case: dict[str, Any]) -> None:
    case["order"] = case["order"][::-1]


def _spoil_codes(case: dict[str, Any]) -> None:
    case["driver_return_codes"] = {"3": 10}


@pytest.mark.parametrize("spoil", [_spoil_delta, _spoil_poll, _spoil_order, _spoil_codes])
def test_every_part_of_a_softnet_case_is_compared(tmp_path: Path, spoil: Change) -> None:
    data = golden("softnet")
    case = copy.deepcopy(data["cases"]["plain_10_tcp_merged"])
    spoil(case)
    data["cases"] = {"plain_10_tcp_merged": case}
    assert replay_file(load(Path(write(tmp_path, data)))).count("failed") == 1


@pytest.mark.parametrize(
    ("expected", "got", "place"),
    [
        ([1, 2], [1, 3], " #1"),
        ([1], [1, 3], " #1"),
        ({"a": [1]}, {"a": [2]}, " a #0"),
        ({"a": 1}, {}, " a"),
        ({}, {"b": 1}, " b"),
        (1, "1", ""),
    ],
)
def test_the_first_difference_is_found_however_deep(expected: object, got: object, place: str) -> None:
    with pytest.raises(Differs) as caught:
        expect("x", expected, got, "no rule")
    assert caught.value.at == "x" + place


def drop_step(data: dict[str, Any]) -> None:
    data["cases"]["rps_10_to_own_cpu"]["order"] = []


def lose_a_cpu(data: dict[str, Any]) -> None:
    case = data["cases"]["rps_held_cpu_two_batches"]
    case["order"] = [entry for entry in case["order"] if not entry.endswith(":2")]


def lose_the_held(data: dict[str, Any]) -> None:
    data["cases"]["overflow_twice_while_held"]["delta_while_held"] = []


def count_too_many_ipis(data: dict[str, Any]) -> None:
    data["cases"]["rps_200_to_cpu2"]["delta"]["2"]["9"] = 500


def count_a_squeeze_that_cannot_be(data: dict[str, Any]) -> None:
    data["cases"]["rps_200_to_cpu2"]["delta"]["2"]["2"] = 77


def lose_the_ipis(data: dict[str, Any]) -> None:
    del data["cases"]["rps_200_to_cpu2"]["delta"]["2"]["9"]


@pytest.mark.parametrize(
    "damage",
    [drop_step, lose_a_cpu, lose_the_held, count_too_many_ipis, count_a_squeeze_that_cannot_be, lose_the_ipis],
)
def test_what_a_race_or_a_hold_leaves_open_is_still_bounded(damage: Change, tmp_path: Path) -> None:
    data = golden("softnet")
    damage(data)
    assert main(["conform", write(tmp_path, data)]) == 1


def test_an_unknown_step_of_a_log_and_a_pipe_cannot_be_read(tmp_path: Path) -> None:
    data = golden("rfs")
    data["cases"]["follow_reader"]["log"][0]["op"] = "Xread"
    assert main(["conform", write(tmp_path, data)]) == 3
    os.mkfifo(tmp_path / "pipe.json")
    assert main(["conform", str(tmp_path / "pipe.json")]) == 3
