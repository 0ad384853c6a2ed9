"""softnet export: a tree of files that tools nobody here wrote can read."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jc
import pytest

from scenarios import cli
from scenarios.export import check_directory, tree_texts, write_files
from tests.scenario_kit import make

LOADED = """
[machine]
cpus = 4
nodes = 2
seed = 3
[nic]
queues = 2
speed_gbps = 10
[[traffic]]
rate_pps = 400000
flows = 16
dst_port = 7000
[[app]]
protocol = "udp"
port = 7000
kind = "reader"
cpus = "2"
[set]
"/sys/class/net/eth0/queues/rx-0/rps_cpus" = "e"
[run]
duration = "60ms"
"""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `softnet export` made of LOADED."""
    there = tmp_path_factory.mktemp("export")
    (there / "loaded.toml").write_text(LOADED)
    assert cli.main(["export", str(there / "box"), str(there / "loaded.toml")]) == 0
    return there / "box"


def parsed(box: Path, parser: str, path: str) -> Any:
    return jc.parse(parser, (box / path).read_text())


def test_the_whole_tree_is_there_and_what_cannot_be_read_is_not(box: Path) -> None:
    tree = make(LOADED).machine.tree
    files = {f"/{path.relative_to(box)}" for path in box.rglob("*") if path.is_file()}
    assert set(tree.paths()) - files == {"/sys/class/net/lo/speed", "/sys/class/net/lo/duplex"}
    letters = {f"/ethtool/eth0.{letter}" for letter in "lgckxSin"}
    assert files - set(tree.paths()) == letters | {"/boot/config"}
    assert (box / "ethtool/eth0.l").read_text().startswith("Channel parameters for eth0:\n")
    assert (box / "ethtool/eth0.n").read_text().count("use these fields") == 4
    assert (box / "sys/class/net/eth0/queues/rx-0/rps_cpus").read_text() == "e\n"


def test_jc_reads_the_times_of_the_cpus(box: Path) -> None:
    stat = parsed(box, "proc_stat", "proc/stat")
    uptime = parsed(box, "proc_uptime", "proc/uptime")
    assert uptime["up_time"] == 0.06
    for cpu in range(4):
        assert 3 <= sum(stat[f"cpu{cpu}"].values()) <= 6
    assert 21 <= sum(stat["cpu"].values()) <= 24
    assert stat["cpu"]["softirq"] > 0
    assert stat["cpu"]["idle"] == int(uptime["idle_time"] * 100 + 0.5)
    assert stat["boot_time"] == 1_767_225_600
    assert stat["processes"] == 5
    assert stat["processes_blocked"] == 0


def test_jc_reads_interrupts_and_softirqs_and_they_agree_with_stat(box: Path) -> None:
    stat = parsed(box, "proc_stat", "proc/stat")
    rows = {row["irq"]: row for row in parsed(box, "proc_interrupts", "proc/interrupts")}
    assert [name for name, row in rows.items() if row["device"]] == ["32", "33"]
    assert rows["32"]["type"] == "PCI-MSIX-0000:01:00.0"
    assert rows["32"]["device"] == ["1-edge", "eth0-TxRx-0"]
    assert rows["LOC"]["type"] == "Local timer interrupts"
    assert stat["interrupts"][0] == sum(sum(row["interrupts"]) for row in rows.values())
    assert stat["interrupts"][33] == sum(rows["32"]["interrupts"]) > 0
    softirqs = {row["counter"]: row for row in parsed(box, "proc_softirqs", "proc/softirqs")}
    assert list(softirqs) == [
        "HI",
        "TIMER",
        "NET_TX",
        "NET_RX",
        "BLOCK",
        "IRQ_POLL",
        "TASKLET",
        "SCHED",
        "HRTIMER",
        "RCU",
    ]
    assert stat["softirq"][1 + 3] == sum(softirqs["NET_RX"][f"CPU{cpu}"] for cpu in range(4)) > 0


def test_jc_reads_the_devices(box: Path) -> None:
    lo, eth0 = parsed(box, "proc_net_dev", "proc/net/dev")
    assert (lo["interface"], eth0["interface"]) == ("lo", "eth0")
    for column, name in (("r_bytes", "rx_bytes"), ("r_packets", "rx_packets"), ("t_packets", "tx_packets")):
        assert eth0[column] == int((box / f"sys/class/net/eth0/statistics/{name}").read_text())
    assert eth0["r_packets"] > 20_000


def test_jc_reads_cpus_counters_and_sysctls(box: Path) -> None:
    cpus = parsed(box, "proc_cpuinfo", "proc/cpuinfo")
    assert [(cpu["processor"], cpu["physical id"], cpu["core id"]) for cpu in cpus] == [
        (0, 0, 0),
        (1, 0, 1),
        (2, 1, 0),
        (3, 1, 1),
    ]
    assert {cpu["cpu MHz"] for cpu in cpus} == {3000.0}
    for path in ("proc/net/netstat", "proc/net/snmp"):
        names, values = (box / path).read_text().splitlines()[:2]
        assert len(names.split()) == len(values.split())
    sysctls = {path.name: path.read_text() for path in (box / "proc/sys/net/core").iterdir()}
    text = "".join(f"net.core.{name} = {value}" for name, value in sorted(sysctls.items()))
    read: Any = jc.parse("sysctl", text)
    assert read["net.core.netdev_budget"] == 300
    assert len(sysctls["netdev_rss_key"].strip().split(":")) == 52


def test_softnet_stat_reads_as_procfs_does(box: Path) -> None:
    """The columns as prometheus/procfs and node_exporter name them: 15 since 5.14, in hexadecimal."""
    rows = [
        [int(word, 16) for word in line.split()] for line in (box / "proc/net/softnet_stat").read_text().splitlines()
    ]
    named = [
        dict(zip(("processed", "dropped", "time_squeezed"), row[:3], strict=True))
        | {"cpu_collision": row[8], "received_rps": row[9], "flow_limit_count": row[10]}
        | {"softnet_backlog_len": row[11], "index": row[12], "input_qlen": row[13], "process_qlen": row[14]}
        for row in rows
    ]
    assert [row["index"] for row in named] == [0, 1, 2, 3]
    assert all(row["softnet_backlog_len"] == row["input_qlen"] + row["process_qlen"] for row in named)
    assert sum(row["processed"] for row in named) > 20_000
    rps = {f"CPU{row['index']}": row["received_rps"] for row in named}
    calls = next(row for row in parsed(box, "proc_interrupts", "proc/interrupts") if row["irq"] == "CAL")
    assert list(rps.values()) == calls["interrupts"]


def test_the_machine_that_is_copied_from_it_exports_the_same_settings(box: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.toml").write_text(f'[machine]\ntree = "{box}"\nseed = 3\n[run]\nduration = "1ms"\n')
    assert cli.main(["export", str(tmp_path / "copy"), str(tmp_path / "copy.toml")]) == 0
    same = [
        *(path for path in box.glob("proc/irq/*/*") if path.name.startswith(("smp_aff", "effective_aff"))),
        *box.glob("proc/sys/net/core/*"),
        *box.glob("sys/class/net/eth0/queues/*/*"),
        *box.glob("sys/devices/system/*/*"),
        *(box / f"ethtool/eth0.{letter}" for letter in "lgckn"),
        box / "boot/config",
        box / "proc/sys/kernel/osrelease",
    ]
    same = [path for path in same if path.is_file()]
    assert len(same) > 40
    for path in same:
        assert (tmp_path / "copy" / path.relative_to(box)).read_text() == path.read_text(), path


@pytest.mark.skipif(shutil.which("lscpu") is None, reason="there is no lscpu here")
def test_lscpu_takes_it_for_a_server(box: Path) -> None:
    printed = subprocess.run(
        ["lscpu", "--sysroot", str(box), "-p=CPU,CORE,SOCKET,NODE,ONLINE"], capture_output=True, text=True, check=True
    ).stdout
    assert [line for line in printed.splitlines() if not line.startswith("#")] == [
        "0,0,0,0,Y",
        "1,1,0,0,Y",
        "2,2,1,1,Y",
        "3,3,1,1,Y",
    ]


def test_the_files_are_as_of_the_time_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loaded.toml").write_text(LOADED)
    command = [
        "export",
        str(tmp_path / "box"),
        str(tmp_path / "loaded.toml"),
        "--at",
        "20ms",
        "--set",
        "net.core.netdev_budget=77",
    ]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.endswith(" files as of 20ms of virtual time\n")
    assert "--set net.core.netdev_budget=77 --at 20ms --seed 3" in printed.err
    assert (tmp_path / "box/proc/uptime").read_text().startswith("0.02 ")
    assert (tmp_path / "box/proc/sys/net/core/netdev_budget").read_text() == "77\n"


def test_the_same_scenario_and_seed_give_the_same_files(box: Path, tmp_path: Path) -> None:
    (tmp_path / "loaded.toml").write_text(LOADED)
    assert cli.main(["export", str(tmp_path / "again"), str(tmp_path / "loaded.toml")]) == 0
    for path in box.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(box)).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{tmp}/full", "rss-4"], "/full is not empty, write the name of a new or empty directory"),
        (["{tmp}/full/file", "rss-4"], "/full/file is a file, write the name of a new or empty directory"),
        (["{tmp}/no/box", "rss-4"], "there is no directory "),
        (["{tmp}/a\0b", "rss-4"], "is no directory's name"),
        (["{tmp}", "rss-4"], "is not empty"),
        (["{tmp}/box", "rss-4", "--at", "20"], "--at: '20' is not a duration"),
        (["{tmp}/box", "rss-4", "--at", "-1ms"], "--at: "),
        (["{tmp}/box", "rss-4", "--at", "10s"], "is after the run's end at "),
    ],
)
def test_what_cannot_be_exported_is_told_before_the_run(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert cli.main(["export", *(argument.replace("{tmp}", str(tmp_path)) for argument in arguments)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_an_empty_directory_is_filled_and_keeps_its_mode(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.mkdir(mode=0o750)
    (tmp_path / "link").symlink_to(box)
    target = check_directory(str(tmp_path / "link"))
    write_files(target, {"proc/a/b": "text\n"})
    assert (tmp_path / "link/proc/a/b").read_text() == "text\n"
    assert box.stat().st_mode & 0o777 == 0o750
    assert sorted(path.name for path in tmp_path.iterdir()) == ["box", "link"]


def test_a_failed_write_leaves_nothing_and_names_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Path, *rest: object, **more: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "write_text", fails)
    with pytest.raises(OSError, match="No space left") as refused:
        write_files(tmp_path / "box", {"proc/stat": ""})
    assert refused.value.filename == str(tmp_path / "box")
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_made_the_directory_asked_for_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="box") as refused:
        write_files(tmp_path / "gone" / "box", {"proc/stat": ""})
    assert refused.value.filename == str(tmp_path / "gone" / "box")


@pytest.mark.parametrize("name", ["../out", "/etc/x", "proc/../../x", "", "proc//x", "./x"])
def test_nothing_is_written_outside(name: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="leads out of the tree"):
        write_files(tmp_path / "box", {name: ""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "lo"])
def test_a_device_whose_name_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "named.toml").write_text(f'[nic]\nname = "{name}"\n')
    assert cli.main(["export", str(tmp_path / "box"), str(tmp_path / "named.toml")]) == 2
    assert not (tmp_path / "box").exists()


def test_a_ctrl_c_amid_the_files_leaves_no_half_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loaded.toml").write_text(LOADED)
    write_text = Path.write_text
    written: list[Path] = []

    def interrupted(self: Path, *rest: Any, **more: Any) -> int:
        written.append(self)
        if len(written) == 50:
            raise KeyboardInterrupt
        return write_text(self, *rest, **more)

    monkeypatch.setattr(Path, "write_text", interrupted)
    assert cli.main(["export", str(tmp_path / "box"), str(tmp_path / "loaded.toml"), "--at", "1ms"]) == 130
    assert capsys.readouterr().out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["loaded.toml"]


def test_texts_leave_out_what_refuses_to_be_read() -> None:
    tree = make("").machine.tree
    tree.add("/proc/only_written", None, lambda text: None)
    assert set(tree.paths()) - {f"/{path}" for path in tree_texts(tree)} == {
        "/proc/only_written",
        "/sys/class/net/lo/duplex",
        "/sys/class/net/lo/speed",
    }
