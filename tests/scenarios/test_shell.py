"""A shell in which /proc and /sys are the emulated machine's."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from scenarios.cli import main
from tests.mount_kit import PATIENCE, environment, missing_shell, softnet, wait_until

pytestmark = pytest.mark.skipif(bool(missing_shell()), reason=missing_shell())

RPS = "/sys/class/net/eth0/queues/rx-0/rps_cpus"


def places() -> set[Path]:
    """What runs of softnet have in the directory for such things."""
    return set(Path(tempfile.gettempdir()).glob("softnet-*"))


def shell(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A script in a shell of the real-time machine."""
    return subprocess.run(
        softnet("shell", "real-time", "--seed", "1", *options, "--", "sh", "-c", script),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
    )


def test_a_command_sees_the_emulated_machine_and_its_exit_code_is_ours() -> None:
    done = shell(
        f"ls /sys/devices/system/cpu | grep -c '^cpu[0-9]*$'; echo e > {RPS}; cat {RPS}; cat /proc/irq/32/smp_affinity;"
        f"echo zz > {RPS}; test -e /proc/$$/status && echo real; test -d /sys/fs && echo too; exit 7"
    )
    assert done.returncode == 7
    assert done.stdout.startswith("4\ne\n1\nreal\ntoo\n")
    assert "I/O error" in done.stderr or "Invalid argument" in done.stderr


def test_a_command_that_is_killed_ends_the_run() -> None:
    assert shell("kill -9 $$").returncode == 128 + 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_hangs_its_shell_up_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    before = places()
    said = tmp_path / "said"
    script = (
        f"trap 'echo hung up >> {said}; exit' HUP; trap '' INT TERM; echo ready > {said}; while :; do sleep 0.1; done"
    )
    run = subprocess.Popen(
        softnet("shell", "real-time", "--seed", "1", "--", "sh", "-c", script),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        wait_until(said.exists)
        run.send_signal(signal.SIGINT)  # twice: it is for the command
        run.send_signal(signal.SIGINT)
        run.send_signal(number)
        run.wait(PATIENCE)
        wait_until(lambda: said.read_text() == "ready\nhung up\n")
        wait_until(lambda: not places() - before)
    finally:
        run.kill()
        run.wait()


@pytest.mark.skipif(shutil.which("mpstat") is None, reason="there is no mpstat")
def test_mpstat_shows_the_softirqs_of_the_emulated_cpus() -> None:
    done = shell("while grep -q '^0[.][0-2]' /proc/uptime; do sleep 0.1; done; LC_ALL=C mpstat -P ALL")
    rows = {line.split()[1]: line.split() for line in done.stdout.splitlines() if line.count(".") >= 10}
    titles = next(line.split() for line in done.stdout.splitlines() if "%soft" in line)
    soft = {cpu: float(row[titles.index("%soft")]) for cpu, row in rows.items() if cpu.isdigit()}
    assert set(soft) == {"0", "1", "2", "3"}
    assert soft["0"] > 30 > max(soft["1"], soft["2"], soft["3"])


def test_a_command_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shell", "real-time", "--", "no\x1bsuch"]) == 2
    assert "there is no command no\\x1bsuch" in capsys.readouterr().err


def test_a_system_without_namespaces_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.shell.PROBE", "echo 'mount: no' >&2; exit 32")
    assert main(["shell", "real-time"]) == 2
    assert "it needs root or user namespaces (mount: no)" in capsys.readouterr().err
