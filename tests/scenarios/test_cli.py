"""The command line: exit codes, one sentence on stderr, and what is handed to the run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from emu.errors import CaptureError, ConfigError, InvariantError
from scenarios import cli
from scenarios.options import RunOptions
from scenarios.schema import Scenario

Runner = Callable[[Scenario, RunOptions], int]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[Runner], None]:
    """Put a runner in the place of scenarios.run.run_scenario."""

    def replace(runner: Runner) -> None:
        module = ModuleType("scenarios.run")
        module.run_scenario = runner  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "scenarios.run", module)

    return replace


@pytest.fixture
def calls(play: Callable[[Runner], None]) -> list[tuple[Scenario, RunOptions]]:
    seen: list[tuple[Scenario, RunOptions]] = []

    def runner(scenario: Scenario, options: RunOptions) -> int:
        seen.append((scenario, options))
        return 0

    play(runner)
    return seen


def fails(error: BaseException) -> Runner:
    def runner(scenario: Scenario, options: RunOptions) -> int:
        raise error

    return runner


def one_sentence(text: str) -> bool:
    return text.startswith("softnet: ") and text.count("\n") == 1


def test_run_without_a_name_plays_the_capture(calls: list[Any]) -> None:
    assert cli.main(["run", "--seed", "7"]) == 0
    scenario, options = calls[0]
    assert scenario.capture.file == "mixed"
    assert options.seed == 7
    assert options.command == "softnet run capture --seed 7"
    assert not options.json
    assert not options.batch


def test_options_change_the_scenario_and_the_command_repeats_them(calls: list[Any], tmp_path: Path) -> None:
    arguments = ["run", "one-queue", "--cpus", "8", "--queues", "2", "--duration", "3ms", "--speed", "0.5", "-j"]
    sets = ["--set", "net.core.netdev_budget=600", "--set", "/sys/class/net/eth0/queues/rx-0/rps_cpus = f"]
    output, picture = tmp_path / "out", tmp_path / "picture"
    assert cli.main([*arguments, *sets, "--seed", "5", "-o", str(output), "--svg", str(picture)]) == 0
    scenario, options = calls[0]
    assert (scenario.machine.cpus, scenario.queues, scenario.run.duration, scenario.run.speed) == (8, 2, 3_000_000, 0.5)
    assert scenario.set.pop("net.core.rmem_max") == 1_048_576  # the scenario's own
    assert scenario.set == {"net.core.netdev_budget": "600", "/sys/class/net/eth0/queues/rx-0/rps_cpus": "f"}
    assert (options.json, options.batch, options.output, options.svg) == (True, False, output, picture)
    repeated = options.command
    assert repeated.startswith(
        "softnet run one-queue --cpus 8 --queues 2 --duration 3ms --set net.core.netdev_budget=600"
    )
    assert "--speed" not in repeated
    assert repeated.endswith("--seed 5")


def test_a_seed_is_the_option_the_scenario_s_or_drawn(calls: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("")
    assert cli.main(["run", "one-queue"]) == 0
    assert cli.main(["run", "one-queue", "--seed", "2"]) == 0
    assert cli.main(["run", str(tmp_path / "a.toml")]) == 0
    seeds = [options.seed for _, options in calls]
    assert seeds[:2] == [1, 2]
    assert calls[2][1].command.endswith(f"--seed {seeds[2]}")


def test_a_capture_is_played_with_its_local_side(calls: list[Any]) -> None:
    capture = str(Path(cli.__file__).parent / "captures" / "mixed.pcap")
    assert cli.main(["run", capture, "--local", "10.0.0.1", "--local", "fd00::1"]) == 0
    scenario, options = calls[0]
    assert scenario.capture.local == ("10.0.0.1", "fd00::1")
    assert "--local 10.0.0.1 --local fd00::1" in options.command


def test_a_dash_is_stdout(calls: list[Any]) -> None:
    assert cli.main(["run", "rss-4", "-o", "-"]) == 0
    assert calls[0][1].output is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "one-queu"], "the nearest is one-queue"),
        (["run", "one-queue", "--cpus", "300"], "--cpus: it is 300, expected a whole number from 1 to 256"),
        (["run", "one-queue", "--cpus", "four"], "--cpus"),
        (["run", "one-queue", "--queues", "0"], "--queues: it is 0"),
        (["run", "one-queue", "--seed", "-1"], "--seed: it is -1"),
        (["run", "one-queue", "--duration", "5"], "--duration: '5' is not a duration"),
        (["run", "one-queue", "--duration", "-5ms"], "--duration: '-5ms' is negative: a duration is 0ns or more"),
        (["run", "one-queue", "--speed", "0"], "--speed: it is 0.0, expected a number from 0.0000001 to 1_000"),
        (["run", "rfs", "--cpus", "3"], "softnet: built-in rfs: app[2].cpus: there is no CPU 3"),
        (["run", "./one-queu"], "there is no file ./one-queu\n"),
        (["run", "rss-4.pcap"], "there is no file rss-4.pcap\n"),
        (["run", "one-queue", "--speed", "nan"], "--speed: it is nan"),
        (["run", "one-queue", "--set", "x"], "--set: 'x' is no setting"),
        (["run", "one-queue", "--local", "10.0.0.1"], "--local: one-queue plays no capture"),
        (["run", "--local", "here"], "--local: 'here' is no IPv4"),
        (["run", "one-queue", "--svg", "/nowhere/at/all"], "--svg: there is no directory"),
        (["run", "one-queue", "-o", "/"], "--output: / is a directory"),
        (["run", "one-queue", "--json", "--batch"], "--json, --batch: one document or lines"),
        (["run", "one-queue", "--svg", "a", "-o", "./a"], "--svg, --output: both are a, write two"),
        (["run", "one-queue", "--cpu", "3"], "--cpu"),
        (["run", "one-queue", "rss-4"], "rss-4"),
        (["rum"], 'Did you mean "run"'),
        (["check"], "FILE"),
        (["check", "nothing.toml"], "there is no file nothing.toml\n"),
    ],
)
def test_a_wrong_command_line_ends_in_one_sentence_and_2(
    arguments: list[str], words: str, calls: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    output = capsys.readouterr()
    assert words in output.err
    assert one_sentence(output.err)
    assert output.out == ""
    assert not calls


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("wrong setting"), 2),
        (CaptureError("broken file"), 3),
        (InvariantError("a frame is lost"), 4),
        (AssertionError("never"), 4),
        (ValueError("two\nlines"), 4),
        (ExceptionGroup("nursery", [ExceptionGroup("inner", [CaptureError("broken file")])]), 3),
    ],
)
def test_what_goes_wrong_ends_in_one_sentence_and_its_code(
    error: Exception, code: int, play: Callable[[Runner], None], capsys: pytest.CaptureFixture[str]
) -> None:
    play(fails(error))
    assert cli.main(["run", "rss-4"]) == code
    output = capsys.readouterr().err
    assert one_sentence(output)
    assert "Traceback" not in output
    assert ("SOFTNET_DEBUG=1" in output) == (code == 4)


def test_a_bug_shows_its_traceback_when_asked(
    play: Callable[[Runner], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOFTNET_DEBUG", "1")
    play(fails(AssertionError("never")))
    assert cli.main(["run", "rss-4"]) == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), BaseExceptionGroup("nursery", [KeyboardInterrupt(), ConfigError("x")])]
)
def test_ctrl_c_ends_with_130(
    error: BaseException, play: Callable[[Runner], None], capsys: pytest.CaptureFixture[str]
) -> None:
    play(fails(error))
    assert cli.main(["run", "rss-4"]) == 130
    assert capsys.readouterr().err == "softnet: stopped\n"


def test_ctrl_c_while_a_scenario_is_loaded_says_that_nothing_ran(
    calls: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scenarios.catalog.open_scenario", interrupted)
    assert cli.main(["run", "rss-4"]) == 130
    assert capsys.readouterr().err == "softnet: stopped before the run began\n"
    assert not calls


@pytest.mark.parametrize("module", ["cyclopts", "trio", "scenarios.build"])
def test_ctrl_c_during_the_imports_ends_in_one_sentence_and_130(module: str) -> None:
    code = (
        "import sys\nclass Interrupt:\n def find_spec(self, name, path=None, target=None):\n"
        f"  if name == {module!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\nfrom scenarios.start import main\n"
        "sys.argv = ['softnet', 'run', 'one-queue']\nsys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "softnet: stopped before the run began\n")


def test_the_run_s_own_code_is_the_command_s(play: Callable[[Runner], None]) -> None:
    play(lambda scenario, options: 130)
    assert cli.main(["run", "rss-4"]) == 130


def test_scenarios_lists_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 16
    assert any(line.startswith("one-queue ") for line in lines)


def test_the_help_has_three_examples_and_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.count("  softnet run") == 3
    for code in (0, 1, 2, 3, 4, 130, 141):
        assert f"\n  {code}  " in text


def softnet(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scenarios.cli", *arguments], capture_output=True, text=True, timeout=60, **options
    )


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys, json; from scenarios.cli import main; main(['--version']); main(['--help']);"
        "print(json.dumps([m for m in ('trio', 'msgspec', 'tomlkit', 'prompt_toolkit', 'scenarios.load') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert done.stdout.startswith("softnet ")


def test_a_closed_pipe_ends_quietly_with_141() -> None:
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -m scenarios.cli scenarios | true; echo "${{PIPESTATUS[0]}}"'],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
        check=True,
    )
    # A fast writer may be done before the reader is gone; what never happens is a traceback.
    assert done.stdout.strip() in ("141", "0")
    assert done.stderr == ""


def test_a_pipe_closed_before_the_first_word_ends_with_141() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.cli", "scenarios"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == ""


def test_the_process_ends_with_the_code_of_the_error() -> None:
    done = softnet("run", "one-queue", "--cpus", "0")
    assert done.returncode == 2
    assert done.stdout == ""
    assert one_sentence(done.stderr)


SHORT = ("run", "one-queue", "--duration", "1ms")


def in_shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `softnet` is this one."""
    script = f'softnet() {{ {sys.executable} -m scenarios.cli "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)


def test_a_device_is_written_and_stays_one(tmp_path: Path) -> None:
    """A FIFO stands for /dev/null, which a failing test would take away from the machine."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", str(fifo)], stdout=subprocess.PIPE, text=True)
    assert softnet(*SHORT, "--output", str(fifo)).returncode == 0
    assert "Again: softnet run one-queue" in reader.communicate(timeout=60)[0]
    assert fifo.is_fifo()


def test_a_symlink_stays_and_its_file_is_written_with_the_umask(tmp_path: Path) -> None:
    for name in ("text", "svg"):
        (tmp_path / f"{name}.link").symlink_to(tmp_path / name)
    done = in_shell(
        f"umask 027; cd {tmp_path}; PYTHONPATH={os.getcwd()} softnet {' '.join(SHORT)} -o text.link --svg svg.link"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for name in ("text", "svg"):
        assert (tmp_path / f"{name}.link").is_symlink()
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
        assert (tmp_path / name).stat().st_size > 500
    assert len(list(tmp_path.iterdir())) == 4


def test_a_file_that_is_written_anew_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "private"
    file.write_text("old")
    file.chmod(0o600)
    assert softnet(*SHORT, "--json", "-o", str(file)).returncode == 0
    assert json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("option", ["--output", "--svg"])
def test_what_may_not_be_written_is_told_before_the_run(
    option: str, calls: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Path] = []

    def refuse(path: Path, mode: int) -> bool:  # root, who may run this, is refused nothing
        asked.append(path)
        return mode != os.W_OK

    monkeypatch.setattr("scenarios.commands.outputs.os.access", refuse)
    assert cli.main(["run", "rss-4", option, str(tmp_path / "a")]) == 2
    assert capsys.readouterr().err == f"softnet: {option}: {tmp_path} may not be written\n"
    assert asked == [tmp_path]
    assert not calls


@pytest.mark.parametrize(
    ("line", "name", "reason"),
    [
        ("softnet scenarios > /dev/full", "standard output", "No space left on device"),
        ("softnet --help > /dev/full", "standard output", "No space left on device"),
        (f"softnet {' '.join(SHORT)} > /dev/full", "standard output", "No space left on device"),
        (f"softnet {' '.join(SHORT)} --output /dev/full", "/dev/full", "No space left on device"),
        (f"softnet {' '.join(SHORT)} -o /dev/null --svg /dev/full", "/dev/full", "No space left on device"),
        (f"softnet {' '.join(SHORT)} --output /proc/x", "/proc/x", "No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_the_user_s_side(line: str, name: str, reason: str) -> None:
    done = in_shell(line)
    assert (done.returncode, done.stderr) == (2, f"softnet: {name}: {reason}\n")


@pytest.mark.parametrize("words", ["scenarios", "--help", "--version", " ".join(SHORT)])
@pytest.mark.parametrize("closed", [">&-", "| true"])
def test_a_stdout_that_is_closed_ends_quietly_with_141(words: str, closed: str) -> None:
    line = f"softnet {words} {closed}; echo $? >&2"
    if closed == "| true":  # gone before the first word
        line = f"{{ sleep 0.2; softnet {words}; echo $? >&2; }} | true"
    done = in_shell(line)
    assert (done.stdout, done.stderr) == ("", "141\n")


def test_a_closed_stderr_does_not_change_what_is_on_stdout() -> None:
    done = in_shell("softnet run nothing-like-it 2>&-; echo $?")
    assert (done.stdout, done.stderr) == ("2\n", "")
