"""Imports point down: scenarios > monitor > nic | netstack > softirq > cpus > emu."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOOR = {"emu": 0, "cpus": 1, "softirq": 2, "nic": 3, "netstack": 3, "monitor": 4, "scenarios": 5}


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


def source_files() -> list[Path]:
    return [path for package in FLOOR for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_its_own_floor_and_lower_ones(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    imported = imported_packages(path)
    assert "tests" not in imported
    for name in imported & FLOOR.keys():
        assert name == package or FLOOR[name] < FLOOR[package], f"{path.relative_to(ROOT)} imports {name}"


def test_every_package_is_on_a_floor() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == FLOOR.keys()
