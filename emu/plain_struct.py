"""Structs that are written to often.

A msgspec Struct is made in half of the time that a plain class takes, defaults and all, and one that is in no cycle can be kept out of
the garbage collector's sight. But its own __setattr__ asks at each store whether the class is frozen and what the collector should know.
"""

from __future__ import annotations

from typing import TypeVar

from msgspec import Struct

S = TypeVar("S", bound=Struct)


def stores_directly(cls: type[S]) -> type[S]:
    """Class decorator for a Struct that is neither frozen nor collected: with object's __setattr__ the interpreter stores straight into
    the slot, in a sixth of the time."""
    cls.__delattr__ = object.__delattr__  # type: ignore[method-assign]
    cls.__setattr__ = object.__setattr__  # type: ignore[method-assign]
    return cls
