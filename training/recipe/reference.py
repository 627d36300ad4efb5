"""Write the reference of recipes, docs/recipes.md, from the schema: each setting with its type, default and meaning."""

from __future__ import annotations

import ast
import inspect
import textwrap

import msgspec
from msgspec import Struct
from msgspec import inspect as schema
from msgspec.structs import FieldInfo, fields

from .file import Recipe

HEAD = """# Recipes: reference

A recipe is a TOML file with a `name`, a one-line `summary` and the tables below. A setting left out has its default.
Unknown settings, wrong types and values out of bounds are refused before anything starts. How to train with a recipe:
[training.md](training.md).

This page is generated: `scripts/train --reference > docs/recipes.md`.
"""


def meanings(owner: type) -> dict[str, str]:
    """The docstrings of a class's fields, by name, each on one line."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
            found[field.target.id] = " ".join(ast.literal_eval(after.value).split())
    return found


def kind(of: schema.Type) -> str:
    """A type in words, with its bounds."""
    match of:
        case schema.IntType() | schema.FloatType():
            word = "integer" if isinstance(of, schema.IntType) else "number"
            least, most, above = (None if bound is None else f"{bound:g}" for bound in (of.ge, of.le, of.gt))
            if most is not None:
                word += f", {least} to {most}"
            elif least is not None or above is not None:
                word += f", at least {least}" if least is not None else f", above {above}"
            return word + (f", a multiple of {of.multiple_of}" if of.multiple_of else "")
        case schema.StrType():
            return "string"
        case schema.BoolType():
            return "true or false"
        case schema.LiteralType():
            return " or ".join(f"`{value!r}`".replace("'", '"') for value in of.values)
        case schema.TupleType() if of.item_types[0] == of.item_types[1]:
            return kind(of.item_types[0]).replace("integer", "two integers").replace("number", "two numbers")
        case schema.TupleType():
            return "[" + "; ".join(map(kind, of.item_types)) + "]"
        case schema.VarTupleType():
            return f"list of {kind(of.item_type)}"
    raise TypeError(f"kind: {of!r} is not a type that recipes have")


def default(field: FieldInfo) -> str:
    """A field's default as TOML has it."""
    return f"`{msgspec.json.encode(field.default).decode()}`".replace(",", ", ")


def table(name: str, owner: type[Struct]) -> str:
    """The section of one table."""
    said = meanings(owner)
    known = schema.type_info(owner)
    assert isinstance(known, schema.StructType)
    types = {each.name: each.type for each in known.fields}
    lines = [f"## [{name}]", "", inspect.getdoc(owner) or "", ""]
    lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for each in fields(owner):
        lines.append(f"| `{each.name}` | {kind(types[each.name])} | {default(each)} | {said[each.name]} |")
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The whole page in Markdown."""
    sections: list[str] = []
    shown: dict[type, str] = {}
    for each in fields(Recipe):
        owner = each.type
        if not (isinstance(owner, type) and issubclass(owner, Struct)):
            continue
        if owner in shown:
            sections.append(f"## [{each.name}]\n\n{meanings(Recipe)[each.name]} Settings: as in [{shown[owner]}].\n")
        else:
            shown[owner] = each.name
            sections.append(table(each.name, owner))
    return "\n".join([HEAD, *sections])
