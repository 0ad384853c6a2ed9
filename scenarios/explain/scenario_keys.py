"""The keys of scenario files as topics, out of the schema's own docstrings, types and defaults.

Python keeps no docstring of an attribute, so the schema's source is read; there is no second text that could differ.
"""

import ast
import inspect
from collections.abc import Iterable
from typing import Any, Final, get_args, get_type_hints

import msgspec

from emu.costs import PRICE_NAMES
from emu.profiles import PROFILES
from emu.rules import RULES
from scenarios import schema
from scenarios.durations import Duration
from scenarios.explain.topics import Topic
from scenarios.origin import SettingPath
from scenarios.shapes import words_for

GROUP: Final = "Keys of scenario files"

_REFERENCES: Final[dict[str, Iterable[str]]] = {
    "`emu.rules.RULES`": RULES,
    "`emu.profiles.PROFILES`": PROFILES,
    "`emu.costs.PRICE_NAMES`": PRICE_NAMES,
}
"""What the schema's docstrings refer to -> what a user may write."""

_ALSO: Final = {"set": ("--set",), "ethtool": ("--ethtool",)}

Docs = dict[str, tuple[str, dict[str, str]]]
"""Class -> its docstring, and those of its attributes."""


def key_topics() -> list[Topic]:
    """One topic a key, `nic.ring`, `traffic.rate_pps`; and one a table, `[nic]`, `[[traffic]]`."""
    return _of_table(schema.Scenario, (), _docstrings())


def _of_table(struct: type[msgspec.Struct], path: SettingPath, docs: Docs) -> list[Topic]:
    hints = get_type_hints(struct)
    keys: list[Topic] = []
    tables: list[Topic] = []
    for info in msgspec.structs.fields(struct):
        inner, is_list = _struct_in(hints[info.name])
        below = (*path, info.name)
        dotted = ".".join(part for part in below if isinstance(part, str))
        doc = _for_people(docs[struct.__name__][1].get(info.name, ""))
        if inner is None:
            own = f"Key of {_heading(path)}. {doc}".rstrip() if path else doc
            keys.append(
                Topic(
                    name=dotted,
                    names=(*((info.name,) if path else ()), *_ALSO.get(dotted, ())),
                    meaning=f"{own} Takes {words_for(below)}.",
                    default="must be given" if info.required else _shown(info.default),
                    group=GROUP,
                )
            )
            continue
        if is_list:
            below = (*below, 0)
        about = _for_people(docs[inner.__name__][0])
        tables.append(
            Topic(
                name=_heading(below),
                names=(dotted,),
                meaning=f"{about} Its keys: {', '.join(inner.__struct_fields__)}.",
                group=GROUP,
            )
        )
        tables += _of_table(inner, below, docs)
    return keys + tables


def _struct_in(hint: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct that a key holds, if it holds one, and whether it may hold several."""
    for member in (hint, *get_args(hint)):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            return member, getattr(hint, "__origin__", None) is tuple
    return None, False


def _heading(path: SettingPath) -> str:
    name = ".".join(part for part in path if isinstance(part, str))
    return f"[[{name}]]" if isinstance(path[-1], int) else f"[{name}]"


def _docstrings() -> Docs:
    """The docstrings of the schema's source, each on one line."""
    found: Docs = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        keys: dict[str, str] = {}
        name = ""
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                name = statement.target.id
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and name:
                keys[name] = " ".join(str(statement.value.value).split())
        found[node.name] = (" ".join((ast.get_docstring(node) or "").split()), keys)
    return found


def _for_people(docstring: str) -> str:
    """The docstring without what only a programmer knows."""
    for reference, names in _REFERENCES.items():
        docstring = docstring.replace(reference, ", ".join(names))
    return docstring.replace(" if None", " if not given").replace("If None ", "If not given ")


def _shown(default: Any) -> str:
    """A default as TOML has it, or that there is none."""
    if default is msgspec.NODEFAULT or default is None or default == () or default == {} or default == "":
        return "not given"
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, Duration):
        return f'"{default}"'
    return f'"{default}"' if isinstance(default, str) else str(default)
