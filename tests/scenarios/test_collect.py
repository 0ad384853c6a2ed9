"""collect.sh: which shell, what it copies and what not, what it says about the rest; and that the importer misses nothing in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scenarios.box import read_box
from scenarios.box_sysctls import SYSCTLS
from scenarios.cli import main
from scenarios.commands.collect import COLLECT_SH
from tests.box_kit import BOXES, copy, machine_of, write_tree

SHELLS = [words for words in (["sh"], ["dash"], ["bash"], ["busybox", "ash"]) if shutil.which(words[0])]

ETHTOOL = """#!/bin/sh
case $1 in
-n) echo "$4 over IPV4 flows use these fields for computing Hash flow key:" ;;
-x) exit 1 ;;
*) cat "$BOX/ethtool/$2.${1#-}" ;;
esac
"""


def collect(
    root: Path,
    out: Path | str,
    *words: str,
    shell: list[str] = SHELLS[0],
    ethtool: str | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run collect.sh on the /proc and /sys below `root`."""
    path = os.environ["PATH"]
    if ethtool is not None:
        (root / "bin").mkdir(exist_ok=True)
        (root / "bin/ethtool").write_text(ethtool)
        (root / "bin/ethtool").chmod(0o755)
        path = f"{root}/bin:{path}"
    return subprocess.run(
        [*shell, str(COLLECT_SH), "--no-wait", str(out), *words],
        env={"PATH": path, "COLLECT_ROOT": str(root), "BOX": str(root)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A /proc and /sys: those of an emulated machine on the ice box, with what only the box has."""
    tree = write_tree(machine_of(BOXES / "ice"), tmp_path_factory.mktemp("root"))
    shutil.copytree(BOXES / "ice", tree, dirs_exist_ok=True)
    for name in ("stat", "uptime"):
        if not (tree / "proc" / name).exists():
            (tree / "proc" / name).write_text("1 2\n")
    return tree


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_every_posix_shell_copies_what_the_importer_reads(shell: list[str], root: Path, tmp_path: Path) -> None:
    out = tmp_path / 'it\'s a "box" $(x)'
    done = collect(root, out, shell=shell, ethtool=ETHTOOL)
    assert done.returncode == 0, done.stderr
    box = read_box(out, "box", {})
    assert not any("not there" in note for note in box.notes if "ethtool" not in note), box.notes
    assert box.document["nic"]["affinity"] == ["1", "3", "5", "7", "1", "3", "5", "7"]
    assert box.document["set"]["/proc/sys/net/core/netdev_budget"] == "600"
    assert (out / "proc/net/softnet_stat").read_text() == (root / "proc/net/softnet_stat").read_text()
    assert not (out / "after").exists()


def test_no_address_is_copied(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "box"
    assert collect(root, out, "ens1f0", ethtool=ETHTOOL).returncode == 0
    assert (root / "sys/class/net/ens1f0/address").read_text() == "02:00:00:00:00:01\n"
    assert not any("02:00:00:00:00:01" in path.read_text() for path in out.rglob("*") if path.is_file())
    assert not (out / "proc/version").exists()


def test_what_cannot_be_read_is_said_and_listed(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "box"
    tree = copy("vm", tmp_path)
    (tree / "proc/sys/net/core/gro_normal_batch").unlink()
    done = collect(tree, out, "eth0", ethtool=ETHTOOL)
    assert done.returncode == 0
    listed = (out / "MISSING").read_text().splitlines()
    assert "/proc/sys/net/core/gro_normal_batch" in listed and "ethtool -x eth0" in listed
    for line in listed:
        assert f"collect.sh: could not read {line}\n" in done.stderr


def test_a_directory_with_something_in_it_is_left_alone(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = collect(root, tmp_path)
    assert (done.returncode, [path.name for path in tmp_path.iterdir()]) == (2, ["mine"])
    assert "exists already" in done.stderr


@pytest.mark.parametrize("interface", ["../../etc", "a b", "$(touch pwned)", "no-such-one"])
def test_a_name_that_is_no_interface_is_refused(interface: str, root: Path, tmp_path: Path) -> None:
    done = collect(root, "out", interface, cwd=tmp_path)
    assert done.returncode == 2
    assert "interface" in done.stderr
    assert not (tmp_path / "pwned").exists()


def test_it_knows_every_sysctl_that_is_imported() -> None:
    listed = COLLECT_SH.read_text().partition("SYSCTLS='")[2].partition("'")[0]
    assert sorted(listed.split()) == sorted(SYSCTLS)


def test_counters_come_twice(root: Path, tmp_path: Path) -> None:
    script = COLLECT_SH.read_text().replace("wait_seconds=10", "wait_seconds=1")
    (tmp_path / "collect.sh").write_text(script)
    out = tmp_path / "box"
    done = subprocess.run(
        ["sh", str(tmp_path / "collect.sh"), str(out), "ens1f0"],
        env={"PATH": os.environ["PATH"], "COLLECT_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    for name in (
        "proc/net/softnet_stat",
        "proc/softirqs",
        "proc/interrupts",
        "sys/class/net/ens1f0/statistics/rx_packets",
    ):
        assert (out / name).is_file() and (out / "after" / name).is_file()
    assert not (out / "after/sys/class/net/ens1f0/queues").exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck here")
def test_shellcheck_has_nothing_to_say() -> None:
    done = subprocess.run(["shellcheck", "-s", "sh", str(COLLECT_SH)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_softnet_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect"]) == 0
    assert capsys.readouterr().out == COLLECT_SH.read_text()
