"""Trees of boxes for tests: those of tests/boxes, copies of them that may be spoilt, and the tree of an emulated machine."""

from __future__ import annotations

import shutil
from pathlib import Path

from emu.cpumask import parse_mask
from scenarios.box import Box, read_box
from scenarios.build import Built, build
from scenarios.export import export_texts, write_files
from scenarios.load import LoadedScenario, parse_scenario

BOXES = Path(__file__).parent / "boxes"
NAMES = ("ice", "mlx5", "vm")

TRAFFIC = (
    '[[traffic]]\nrate_pps = 200_000\nflows = 64\n[[app]]\nprotocol = "udp"\nport = 5001\n[run]\nduration = "2ms"\n'
)


def read(name: str, **nic: object) -> Box:
    """The box of that name in tests/boxes; `nic` is what a scenario says itself."""
    return read_box(BOXES / name, name, {"nic": nic} if nic else {})


def copy(name: str, to: Path) -> Path:
    """A copy of a box that a test may spoil."""
    return Path(shutil.copytree(BOXES / name, to / name))


def load(tree: Path | str, text: str = TRAFFIC) -> LoadedScenario:
    """The scenario `text` on the box at `tree`."""
    return parse_scenario(text, "scenario.toml", Path(), {("machine", "tree"): ("--tree", str(tree))})


def machine_of(tree: Path | str, text: str = TRAFFIC, seed: int = 1) -> Built:
    """The machine of that scenario, built."""
    loaded = load(tree, text)
    return build(loaded.scenario, loaded.origin, seed)


def write_tree(built: Built, to: Path) -> Path:
    """The machine as `softnet export` writes it, in the directory `to`."""
    write_files(to, export_texts(built))
    return to


def mask_of_file(built: Built, path: str) -> int:
    """A mask file of the machine, as a number."""
    return parse_mask(built.machine.tree.read(path), len(built.machine.cpus))
