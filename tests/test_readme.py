"""The README's commands do what it says, its scenario is sound, and its picture exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.cli import main
from scenarios.load import parse_scenario
from tests.mount_kit import missing_shell
from tests.scenario_kit import play

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


def test_there_are_commands_to_test() -> None:
    assert len(commands()) >= 8


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_succeeds(command: str, tmp_path: Path) -> None:
    words = shlex.split(command)
    assert words[0] == "softnet", f"{command!r} is no command of ours"
    if words[1] == "shell":
        tool = words[words.index("--") + 1]
        reason = missing_shell() or ("" if shutil.which(tool) else f"there is no {tool}")
        if reason:
            pytest.skip(reason)
    for name in ("scenarios", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.cli", *words[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    for shown in blocks("text"):
        if shown.splitlines()[0] in done.stdout.splitlines():
            assert shown in done.stdout
    if "--svg" in words:
        assert (tmp_path / words[words.index("--svg") + 1]).read_text().startswith("<svg")


def test_the_scenario_of_the_readme_is_sound() -> None:
    _, text = blocks("toml")
    loaded = parse_scenario(text, "README.md", ROOT)
    assert loaded.scenario.machine.cpus == 4


def test_the_commands_of_the_readme_are_taken_by_its_scenario() -> None:
    events, text = blocks("toml")
    built = play((events + text).replace('duration = "50ms"', 'duration = "12ms"'))
    assert [done.at_ns for done in built.user.done] == [10_000_000] * 5
    assert len(built.nic.rings) == 2


def test_every_link_into_the_project_leads_somewhere() -> None:
    for target in re.findall(r"\]\(((?!http)[^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_pictures_of_the_readme_exist() -> None:
    for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / "docs" / Path(target).name).exists(), target


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_story_of_a_packet_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = [block for block in blocks("text") if block.startswith("packet ")]
    (command,) = [command for command in commands() if command.startswith("softnet why") and "--packet" in command]
    assert main(shlex.split(command)[1:]) == 0
    assert capsys.readouterr().out == shown
