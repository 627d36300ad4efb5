"""Write dataclasses as JSON, and read them back with the types that their fields declare."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from typing import Any, TypeAliasType, Union, get_args, get_origin, get_type_hints

__all__ = ["restored", "simple", "to_json"]


def to_json(value: Any) -> str:
    """One line; a Fraction becomes a string, a set a sorted list."""
    return json.dumps(value, default=simple)


def simple(value: Any) -> Any:
    """One level of `value` in the types that JSON has. Raises TypeError for other types."""
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def restored(kind: Any, value: Any) -> Any:
    """An object of type `kind` from the JSON that `to_json` wrote of it.

    Raises ValueError where `value` is not of that type, and KeyError or TypeError where a field is missing.
    """
    if isinstance(kind, TypeAliasType):
        return restored(kind.__value__, value)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else restored(next(word for word in inner if word is not type(None)), value)
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        return kind(**{name: restored(hint, value[name]) for name, hint in hints(kind).items()})
    if origin is tuple and isinstance(value, list):
        each = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(restored(word, item) for word, item in zip(each, value, strict=True))
    if origin is frozenset and isinstance(value, list):
        return frozenset(restored(inner[0], item) for item in value)
    if origin in (dict, Mapping) and isinstance(value, dict):
        return {inner[0](key): restored(inner[1], item) for key, item in value.items()}
    if kind is Fraction and isinstance(value, str):
        return Fraction(value)
    if kind is float and isinstance(value, int):
        return float(value)
    if kind is not Any and (origin or not isinstance(value, kind)):
        raise ValueError(f"{str(value)[:40]} is not of the type {kind}")
    return value


@cache
def hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    return get_type_hints(kind)
