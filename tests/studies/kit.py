"""The studies of docs/studies: their commands, run as documents."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from scenarios import cli

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "docs" / "studies"


class Found(NamedTuple):
    """One figure of a comparison."""

    a: float
    b: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        return self.b / self.a

    @property
    def rises(self) -> bool:
        """It is proven to be higher in B."""
        return self.low > 0

    @property
    def falls(self) -> bool:
        """It is proven to be lower in B."""
        return self.high < 0


class Study:
    """A command's document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._by = {figure["name"]: figure for figure in document["figures"]}

    def __getitem__(self, name: str) -> Found:
        figure = self._by[name]
        return Found(figure["a"], figure["b"], figure["low"], figure["high"])

    def has(self, name: str) -> bool:
        return name in self._by

    @property
    def verdict(self) -> str:
        return "\n".join(self.document["verdict"])


def commands(study: str) -> list[str]:
    """The command lines of a study, in its order."""
    text = (STUDIES / f"{study}.md").read_text()
    return [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]


@cache
def run(study: str, index: int) -> Study:
    """The document of command `index` of `study`, as anyone who types it gets it."""
    words = shlex.split(commands(study)[index])
    assert words[:2] == ["softnet", "compare"], words
    with TemporaryDirectory() as directory, contextlib.chdir(ROOT):
        output = Path(directory) / "document.json"
        assert cli.main([*words[1:], "--json", "--workers", "1", "-o", str(output)]) == 0
        found = Study(json.loads(output.read_text()))
    assert found.document["same_traffic"]
    return found
