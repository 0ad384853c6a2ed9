"""A running machine's control tree as a file system, read and written by other processes."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from emu.errors import ControlError
from scenarios.build import build
from scenarios.catalog import open_scenario
from scenarios.cli import main
from scenarios.load import parse_scenario
from scenarios.mounted import UserFiles
from scenarios.pace import WallPace
from scenarios.save import saved_text
from tests.mount_kit import PATIENCE, Mounted, is_mounted, missing, mounted, wait_until
from tests.scenario_kit import make
from tests.scenarios.test_user import BOX, RPS, counted

needs_mounts = pytest.mark.skipif(bool(missing()), reason=missing())
BUDGET = "/proc/sys/net/core/netdev_budget"
MACHINE = ("real-time", "--seed", "1", "--speed", "0.1")
"""A run that leaves the processor to others."""


# ---------------------------------------------------------------- a tree that is mounted


@pytest.fixture(scope="module")
def tree() -> Iterator[Mounted]:
    with mounted(*MACHINE) as run:
        yield run


def write(path: Path, text: bytes, flags: int = os.O_WRONLY | os.O_TRUNC) -> int:
    """One write; its result."""
    fd = os.open(path, flags)
    try:
        return os.write(fd, text)
    finally:
        os.close(fd)


@needs_mounts
def test_what_is_written_is_read_again(tree: Mounted) -> None:
    tree.write(RPS, "e\n")
    assert tree.read(RPS) == "e\n"
    write(tree.path / BUDGET[1:], b"400\n", os.O_WRONLY | os.O_APPEND)
    assert tree.read(BUDGET) == "400\n"


@needs_mounts
def test_time_passes_between_two_reads(tree: Mounted) -> None:
    first = tree.read("/proc/uptime")
    wait_until(lambda: tree.read("/proc/uptime") != first)


@needs_mounts
@pytest.mark.parametrize(
    ("path", "text", "number"),
    [
        (RPS, b"zz\n", errno.EINVAL),
        (RPS, b"\xff\n", errno.EINVAL),
        (RPS, b"ff\n", errno.EOVERFLOW),
        ("/proc/stat", b"1\n", errno.EACCES),
        (BUDGET, b"x" * 300_000, errno.EINVAL),
        (RPS + "x", b"1\n", errno.EACCES),
        ("/proc/irq/999/smp_affinity", b"1\n", errno.ENOENT),
        ("/proc", b"1\n", errno.EISDIR),
    ],
)
def test_a_refused_write_has_the_errno_of_the_kernel(tree: Mounted, path: str, text: bytes, number: int) -> None:
    with pytest.raises(OSError) as refused:
        write(tree.path / path[1:], text, os.O_WRONLY | os.O_CREAT)
    assert refused.value.errno == number


@needs_mounts
def test_nothing_can_be_made_removed_or_renamed(tree: Mounted) -> None:
    file = tree.path / RPS[1:]
    for attempt in (
        lambda: (tree.path / "new").mkdir(),
        lambda: (tree.path / "new").symlink_to("proc"),
        lambda: (tree.path / "new").hardlink_to(file),
        file.unlink,
        (tree.path / "proc").rmdir,
        lambda: file.rename(tree.path / "other"),
        lambda: file.chmod(0o777),
    ):
        with pytest.raises(OSError) as refused:
            attempt()
        assert refused.value.errno in (errno.EPERM, errno.ENOTEMPTY)


@needs_mounts
def test_tools_that_walk_the_tree_find_every_file_and_can_read_it(tree: Mounted, tmp_path: Path) -> None:
    opened = open_scenario("real-time")
    paths = set(build(opened.scenario, opened.origin, 1).machine.tree.paths())
    found = subprocess.run(
        ["find", tree.path, "-type", "f"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    seen = {line.removeprefix(str(tree.path)) for line in found.stdout.splitlines()}
    assert seen == paths
    listed = subprocess.run(["ls", "-lR", tree.path], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert not listed.stderr
    searched = subprocess.run(["grep", "-rh", "^cpu0 ", tree.path], capture_output=True, text=True, timeout=PATIENCE)
    assert searched.stdout.startswith("cpu0 ")
    copied = subprocess.run(
        ["cp", "-r", tree.path, tmp_path / "copy"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert {line.rpartition(": ")[2] for line in copied.stderr.splitlines()} <= {"Invalid argument"}  # speed of lo
    assert (tmp_path / "copy" / "proc" / "stat").read_text().startswith("cpu  ")


@needs_mounts
def test_a_second_mount_on_the_same_directory_is_refused(tree: Mounted, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mount", str(tree.path), "real-time"]) == 2
    assert "is not empty" in capsys.readouterr().err


@needs_mounts
def test_a_reader_that_stands_still_holds_up_nobody(tree: Mounted) -> None:
    standing = subprocess.Popen(["sh", "-c", 'exec 3<"$1"; kill -STOP $$', "sh", tree.path / "proc" / "stat"])
    try:
        os.waitpid(standing.pid, os.WUNTRACED)
        first = tree.read("/proc/uptime")
        wait_until(lambda: tree.read("/proc/uptime") != first)
    finally:
        standing.kill()
        standing.wait()


@needs_mounts
def test_a_run_survives_readers_that_are_killed(tree: Mounted) -> None:
    chance = random.Random(1)
    for _ in range(30):
        reader = subprocess.Popen(["grep", "-r", "x", tree.path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.random() * 0.01)
        reader.kill()
        reader.wait()
    first = tree.read("/proc/uptime")
    wait_until(lambda: tree.read("/proc/uptime") != first)


# ---------------------------------------------------------------- how it begins and ends


@needs_mounts
def test_a_tree_mounted_read_only_takes_no_write_and_a_slow_run_answers() -> None:
    with mounted(
        "real-time", "--seed", "1", "--ro", "--speed", "0.000001", "--set", "net.core.netdev_budget=77"
    ) as run:
        assert run.read(BUDGET) == "77\n"
        assert run.read("/proc/uptime").startswith("0.00 ")
        with pytest.raises(OSError) as refused:
            run.write(BUDGET, "1")
        assert refused.value.errno == errno.EROFS
        assert run.end() == 130


@needs_mounts
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_no_mount_even_where_somebody_is_in_it(number: signal.Signals) -> None:
    with mounted(*MACHINE) as run:
        visitor = subprocess.Popen(["sleep", "100"], cwd=run.path / "proc")
        try:
            assert run.end(number) == (-9 if number == signal.SIGKILL else 130)
            wait_until(lambda: not is_mounted(run.path))
            assert not any(run.path.iterdir())
        finally:
            visitor.kill()
            visitor.wait()


@needs_mounts
def test_a_run_whose_tree_is_unmounted_by_somebody_ends() -> None:
    with mounted(*MACHINE) as run:
        subprocess.run(["fusermount3", "-u", run.path], check=True, timeout=PATIENCE)
        assert run.process.wait(PATIENCE) == 0
        assert "unmounted by somebody at" in run.said


@needs_mounts
def test_a_run_with_a_duration_ends_by_itself() -> None:
    with mounted(*MACHINE, "--duration", "10ms") as run:
        assert run.process.wait(PATIENCE) == 0
        assert "finished at 00:00:00.010000" in run.said
        assert not is_mounted(run.path)


@needs_mounts
def test_an_error_of_ours_in_a_handler_ends_the_run_with_a_sentence() -> None:
    program = """if True:
        from scenarios.cli import main
        from scenarios.mounted import UserFiles
        async def read(self, path):
            raise KeyError("broken")
        UserFiles.read = read
        raise SystemExit(main())
    """
    with mounted(*MACHINE, program=program) as run:
        with pytest.raises(OSError):
            run.read(BUDGET)
        assert run.process.wait(PATIENCE) == 4
        assert "a bug in softnet, KeyError" in run.said
        assert "Traceback" not in run.said
        assert not is_mounted(run.path)


# ---------------------------------------------------------------- saved


@needs_mounts
def test_the_saved_scenario_repeats_the_mounted_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "again.toml"
    with mounted(*MACHINE, "--save", str(saved)) as run:
        run.write(RPS, "e\0\n")
        with pytest.raises(OSError):
            run.write(RPS, "x\n")
        run.write(BUDGET, "20\n")
        assert run.end() == 130
        told = run.said
    assert f"echo 20 > {BUDGET}" in saved.read_text()
    assert main(["run", str(saved), "--batch"]) == 0
    frames = told[told.index("\nFrames\n") : told.index("\nAgain: ")]
    assert frames in capsys.readouterr().out


@pytest.mark.parametrize("seed", range(3))
async def test_a_run_ended_at_the_present_counts_what_a_run_of_that_length_does(seed: int) -> None:
    """Written through the files, ended by hand; the saved scenario counts the same to the byte."""
    chance = random.Random(seed)
    live = make(BOX)
    pace = WallPace(live.machine.clock, 0.05, trio.current_time)
    pace.ends_when_quiet = False
    live.user.poke = pace.poke
    noted: list[str] = []
    files = UserFiles(live.user, noted.append)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await live.machine.run(live.until_ns, pace)
            live.user.finish()

        nursery.start_soon(run)
        for _ in range(4):
            await trio.sleep(chance.random() * 0.005)
            await files.write(RPS, f"{chance.randrange(16):x}{chance.choice(['', chr(10), chr(0), chr(13)])}")
        with pytest.raises(ControlError):
            await files.write(RPS, "\x1bzz")
        pace.pause()
        assert await files.read(RPS)
        live.machine.end()
        pace.poke()
    assert len(noted) == 1 and noted[0].startswith("refused, EINVAL: ") and noted[0].isprintable()
    ended_ns = live.machine.clock.reached_ns
    text = saved_text(parse_scenario(BOX, "scenario.toml", Path()), live.seed, live.user.done, ended_ns)
    again = make(text)
    await again.machine.run(again.until_ns)
    assert counted(again) == counted(live)


# ---------------------------------------------------------------- where it cannot be


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one sentence that a command line is refused with."""
    assert main(list(words)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@needs_mounts
def test_a_directory_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "there is no directory" in refused(capsys, "mount", str(tmp_path / "none"), "real-time")
    (tmp_path / "file").touch()
    assert "is not empty" in refused(capsys, "mount", str(tmp_path), "real-time")
    assert "no directory" in refused(capsys, "mount", str(tmp_path / "file"), "real-time")
    (tmp_path / "empty").mkdir()
    wrong = str(tmp_path / "none" / "x.toml")
    assert "--save" in refused(capsys, "mount", str(tmp_path / "empty"), "real-time", "--save", wrong)
    assert "nearest is real-time" in refused(capsys, "mount", str(tmp_path / "empty"), "real-tim")


@needs_mounts
def test_a_system_that_cannot_mount_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenarios.mounted.FUSE_DEVICE", tmp_path / "fuse")
    assert "is missing" in refused(capsys, "mount", str(tmp_path), "real-time")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install fuse3" in refused(capsys, "mount", str(tmp_path), "real-time")


def test_without_pyfuse3_a_sentence_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyfuse3", None)
    assert "pip install 'softnet[mount]'" in refused(capsys, "mount", str(tmp_path), "real-time")
    assert "pip install 'softnet[mount]'" in refused(capsys, "shell", "real-time")
