"""The schema in words: what a key may be, and the keys near a misspelled one.

Read from the annotations of `scenarios/schema.py`, so that the words cannot disagree with what is checked.
"""

from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from scenarios.durations import FORM, Duration
from scenarios.origin import SettingPath, key_words
from scenarios.schema import App, At, Capture, Machine, Nic, RxFlowHash, Scenario, Traffic

_TABLES: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("[machine]", Machine),
    ("[nic]", Nic),
    ("[nic.rx_flow_hash]", RxFlowHash),
    ("[[traffic]]", Traffic),
    ("[capture]", Capture),
    ("[[app]]", App),
    ("[[at]]", At),
    ("the top level", Scenario),
)


def type_at(path: SettingPath) -> Any:
    """Return the annotation of the key at `path`; None if the schema has none."""
    found = [Scenario]
    for part in path:
        found = [inner for outer in found for inner in _inside(outer, part)]
    return Union[tuple(found)] if found else None  # noqa: UP007


def words_for(path: SettingPath) -> str:
    """Return what may stand at `path`, as in "expected ..."."""
    hint = type_at(path)
    return "something else" if hint is None else _words(hint)


def unknown_key(path: SettingPath, key: str) -> str:
    """Return the sentence about `key`, which the table at `path` does not have, with the nearest that it has."""
    known: list[str] = []
    for struct in _members(type_at(path)):
        if isinstance(struct, type) and issubclass(struct, msgspec.Struct):
            known += struct.__struct_fields__
    nearest = get_close_matches(key, known, n=1, cutoff=0.6)
    if nearest:
        return f"there is no such key; the nearest is {nearest[0]}"
    for table, elsewhere in _TABLES:
        if key in elsewhere.__struct_fields__:
            return f"there is no such key here; it belongs into {table}"
    return f"there is no such key; {key_words(path) or 'a scenario'} has {', '.join(known)}"


def _members(hint: Any) -> list[Any]:
    """The types a union is made of, without None and without annotations."""
    if get_origin(hint) is Annotated:
        return _members(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return [member for part in get_args(hint) for member in _members(part)]
    return [] if hint is NoneType else [hint]


def _inside(hint: Any, part: str | int) -> list[Any]:
    """The annotations of what `part` leads to."""
    found = []
    for member in _members(hint):
        arguments = get_args(member)
        if isinstance(part, int) and get_origin(member) is tuple:
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                found.append(arguments[0])
            elif part < len(arguments):
                found.append(arguments[part])
        elif isinstance(part, str) and get_origin(member) is dict:
            found.append(arguments[1])
        elif isinstance(part, str) and isinstance(member, type) and issubclass(member, msgspec.Struct):
            hints = get_type_hints(member, include_extras=True)
            if part in hints:
                found.append(hints[part])
    return found


def _words(hint: Any, meta: tuple[Any, ...] = ()) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    description: str | None = _bound(meta, "description")
    if description is not None:
        return description
    if origin is Annotated:
        return _words(arguments[0], (*meta, *arguments[1:]))
    if origin in (Union, UnionType):
        choices = [_words(member) for member in arguments if member is not NoneType]
        return " or ".join(dict.fromkeys(choices))
    if origin is Literal:
        shown = [f'"{value}"' if isinstance(value, str) else str(value) for value in arguments]
        return f"one of {', '.join(shown)}"
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            longest = _bound(meta, "max_length")
            return f"a list{f' of at most {longest}' if longest else ''}, each {_words(arguments[0])}"
        return f"a list of {' and '.join(_words(argument) for argument in arguments)}"
    if origin is dict:
        return "a table"
    if hint is Duration:
        return FORM
    if hint is bool:
        return "true or false"
    if hint is int or hint is float:
        low, high = _bound(meta, "ge"), _bound(meta, "le")
        span = f" from {_number(low)} to {_number(high)}" if low is not None and high is not None else ""
        return f"a {'whole ' if hint is int else ''}number{span}"
    if hint is str:
        longest = _bound(meta, "max_length")
        return f"a text of 1 to {longest} characters" if longest else "a text"
    return "a table"


def _number(value: float) -> str:
    """As TOML takes it, and people can read it: `200_000_000`."""
    return f"{int(value):_}" if value == int(value) else f"{value:.12f}".rstrip("0")


def _bound(meta: tuple[Any, ...], name: str) -> Any:
    for one in meta:
        value = getattr(one, name, None)
        if value is not None:
            return value
    return None
