"""`softnet compare`: the same machine twice, a change, exit codes, documents, and a comparison that is cut short."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scenarios import cli
from scenarios.study import runner
from scenarios.study.comparison import Comparison
from tests.scenarios.study.kit import RPS, text

ROOT = Path(__file__).parents[3]


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(text())
    return str(path)


@pytest.fixture
def steady(tmp_path: Path) -> str:
    path = tmp_path / "steady.toml"
    path.write_text(text(pattern="constant", rate_pps=100_000).replace("flows = 50", "flows = 1"))
    return str(path)


@pytest.fixture
def slow(tmp_path: Path) -> str:
    """The same, but its reader works for longer on each message."""
    path = tmp_path / "slow.toml"
    path.write_text(text().replace("batch = 16", "batch = 16\nwork_ns = 3000"))
    return str(path)


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["compare", *words, "--json", "--workers", "1"]) in (0, 1)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def figure(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["figures"] if one["name"] == name)


def test_a_scenario_is_no_different_from_itself(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, small, small, "--seeds", "2", "--fail-if-worse", "0%")
    assert found["schema_version"] == 1
    assert found["same_traffic"]
    assert found["seeds"] == [1, 2]
    assert all(one["difference"] in (0, None) for one in found["figures"])
    assert found["apply"] == found["undo"] == found["fixed"] == found["failures"] == []


def test_a_change_is_paired_seed_by_seed(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, small, "--change", RPS, "--seeds", "3", "--seed", "5")
    assert found["seeds"] == [5, 6, 7]
    assert found["same_traffic"]
    assert found["b"]["changes"] == [RPS]
    assert found["a"]["settings_hash"] == found["b"]["settings_hash"]
    assert figure(found, "offered")["same_in_every_seed"]
    sent = figure(found, "interrupts/RPS IPIs")
    assert sent["a"] == 0 < sent["low"] <= sent["difference"] <= sent["high"]
    assert found["apply"][-1] == "echo 2 > /sys/class/net/eth0/queues/rx-0/rps_cpus"
    assert found["undo"][-1] == "echo 0 > /sys/class/net/eth0/queues/rx-0/rps_cpus"
    assert shlex.split(found["command"])[:2] == ["softnet", "compare"]


def test_the_command_that_repeats_a_comparison_does(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, small, "--change", RPS, "--seeds", "1", "--duration", "2ms")
    again = document(capsys, *shlex.split(found["command"])[2:])
    assert again == found


def test_traffic_without_chance_gives_the_same_difference_in_every_seed(
    steady: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", steady, "--change", RPS, "--seeds", "2", "--workers", "1"]) == 0
    words = capsys.readouterr().out
    assert "same in every seed" in words
    assert "The same frames were sent to both." in words


def test_one_seed_has_no_interval(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", small, "--change", RPS, "--seeds", "1", "--workers", "1"]) == 0
    words = capsys.readouterr().out
    assert "One seed: differences are this seed's, and have no interval." in words
    assert " .. " not in words


def test_few_seeds_are_said_to_be_few_and_equal_machines_to_be_equal(
    small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, small, small, "--seeds", "2", "--duration", "2ms")
    comparison = msgspec.convert(found, Comparison)
    few = "Fewer than 10 seeds: the intervals are narrower than 95% would be."
    assert few in comparison.words()
    assert few not in msgspec.structs.replace(comparison, seeds=tuple(range(10))).words()
    assert "# A and B have the same settings: there is nothing to change." in comparison.words()
    other = msgspec.structs.replace(comparison, same_traffic=False)
    assert "# No command on a server makes this difference." in other.words()


def test_runs_of_different_length_are_said_to_be(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, small, small, "--seeds", "1", "--duration", "2ms")
    comparison = msgspec.convert(found, Comparison)
    assert "1 of 1 seeds: 1; 1.0ms each after 1.0ms of warm-up\n" in comparison.words()
    longer = msgspec.structs.replace(comparison.b, length_ns=(3_000_000,))
    words = msgspec.structs.replace(comparison, b=longer, warmup_ns=(1_000_000, 0)).words()
    assert "1 of 1 seeds: 1; 1.0ms each after 1.0ms of warm-up in A, 3.0ms each in B\n" in words


def test_the_text_fits_a_terminal_but_for_commands(small: str, slow: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", small, slow, "--seeds", "2", "--workers", "1"]) == 0
    words, noise = capsys.readouterr()
    table = words.partition("Verdict")[0]
    assert max(len(line) for line in table.splitlines()) <= 80
    assert not any(line.endswith(" ") for line in words.splitlines())
    assert noise == ""


@pytest.mark.parametrize(("order", "code"), [(("small", "slow"), 1), (("slow", "small"), 0)])
def test_a_worse_machine_fails_and_a_better_one_does_not(
    small: str, slow: str, order: tuple[str, str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"small": small, "slow": slow}
    words = ["compare", *(files[name] for name in order), "--seeds", "2", "--workers", "1", "--fail-if-worse", "2%"]
    assert cli.main(words) == code
    assert ("FAILED: throughput is worse by" in capsys.readouterr().out) == bool(code)


def test_other_traffic_is_said_to_be_other(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.toml"
    other.write_text(text(rate_pps=900_000))
    found = document(capsys, small, str(other), "--seeds", "1")
    assert not found["same_traffic"]
    assert found["different_sources"] == ["requests"]
    assert cli.main(["compare", small, str(other), "--seeds", "1", "--workers", "1"]) == 0
    assert "A and B were NOT sent the same frames: requests." in capsys.readouterr().out


def test_a_run_that_is_over_before_its_warmup_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "brief.toml"
    path.write_text(
        text(warmup="0ms").replace("flows = 50", "flows = 50\npackets = 10").replace('duration = "3ms"\n', "")
    )
    assert cli.main(["compare", str(path), str(path), "--seeds", "1", "--workers", "1", "--warmup", "1s"]) == 2
    out, noise = capsys.readouterr()
    assert out == ""
    assert "the warm-up takes 1.0s, but the run was over at " in noise and noise.count("\n") == 1


def test_an_error_in_a_worker_is_one_sentence_too(tmp_path: Path) -> None:
    path = tmp_path / "brief.toml"
    path.write_text(
        text(warmup="0ms").replace("flows = 50", "flows = 50\npackets = 10").replace('duration = "3ms"\n', "")
    )
    words = [sys.executable, "-m", "scenarios.cli", "compare", str(path), str(path)]
    words += ["--seeds", "2", "--workers", "2", "--warmup", "1s"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("softnet: the warm-up takes") and done.stderr.count("\n") == 1


def test_the_document_goes_to_a_file(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    assert cli.main(["compare", small, small, "--seeds", "1", "--workers", "1", "--json", "-o", str(path)]) == 0
    assert json.loads(path.read_text())["seeds"] == [1]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["one-qeue", "rss-4"], "the nearest is one-queue"),
        (["rss-4", "one-qeue"], "the nearest is one-queue"),
        (["one-queue"], "name two scenarios, or one and what to --change in it"),
        (["one-queue", "rss-4", "--change", RPS], "name two scenarios"),
        (["one-queue", "rss-4", "--seeds", "0"], "--seeds: 0 is out of range"),
        (["one-queue", "rss-4", "--workers", "0"], "--workers: 0 is out of range"),
        (["one-queue", "rss-4", "--fail-if-worse", "much"], "--fail-if-worse: 'much' is no percentage"),
        (["one-queue", "rss-4", "--fail-if-worse", "nan"], "--fail-if-worse: 'nan' is no percentage"),
        (["one-queue", "rss-4", "--warmup", "50ms"], "before the warm-up is"),
        (["one-queue", "--change", "echo 1f > /sys/class/net/eth0/queues/rx-0/rps_cpus"], "--change: E"),
        (["one-queue", "--change", "echo 1 > /sys/class/net/eth1/queues/rx-0/rps_cpus"], "--change: ENOENT: "),
        (["one-queue", "--change", "sysctl -w net.core.netdev_budget=many"], "--change: EINVAL: "),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_2(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", *words]) == 2
    out, noise = capsys.readouterr()
    assert out == ""
    assert sentence in noise and noise.count("\n") == 1


def test_a_comparison_that_is_cut_short_says_how_many_seeds_it_stands_on(
    small: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = runner.measure
    runs = 0

    def measure(side: runner.Side, seed: int) -> runner.Measured:
        nonlocal runs
        runs += 1
        if runs == 6:
            raise KeyboardInterrupt
        return plain(side, seed)

    monkeypatch.setattr(runner, "measure", measure)
    assert cli.main(["compare", small, "--change", RPS, "--seeds", "9", "--workers", "1"]) == 130
    out, noise = capsys.readouterr()
    assert "2 of 9 seeds: 1-2" in out
    assert noise == "stopped: the comparison stands on 2 of 9 seeds\n"


def test_cut_short_before_the_first_pair_there_is_nothing_to_compare(
    small: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(side: runner.Side, seed: int) -> runner.Measured:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "measure", measure)
    assert cli.main(["compare", small, "--change", RPS, "--seeds", "9", "--workers", "1"]) == 130
    out, noise = capsys.readouterr()
    assert out == ""
    assert "none of 9 seeds" in noise


def test_workers_change_no_byte(small: str) -> None:
    outputs = [
        subprocess.run(
            [
                sys.executable,
                "-m",
                "scenarios.cli",
                "compare",
                small,
                "--change",
                RPS,
                "--seeds",
                "2",
                "--workers",
                workers,
            ],
            cwd=ROOT,
            capture_output=True,
            timeout=100,
            check=True,
        ).stdout
        for workers in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != b""


def is_running(pid: str) -> bool:
    """Whether the process is there, and more than an exit code that nobody asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_workers(small: str, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "scenarios.cli", "compare", small, "--change", RPS, "--seeds", "1000", "--workers", "2"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(found := children.read_text().split()) < 2 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    out, noise = process.communicate(timeout=60)
    assert process.returncode == 130
    assert noise.startswith("stopped") and noise.count("\n") == 1
    assert "Traceback" not in out + noise
    while any(is_running(child) for child in found):  # the helper of multiprocessing goes when it finds its pipe closed
        time.sleep(0.02)
