"""docs/contracts.md, printed from the contracts: ``python -m adplatform.report.contracts_page > docs/contracts.md``."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from adplatform.contracts import (
    alerts,
    brief,
    claims,
    creative,
    delivery,
    features,
    measurement,
    monitoring,
    plan,
    problems,
    promotion,
    serving,
    targeting,
)
from adplatform.contracts.base import Message
from adplatform.contracts.tables import TABLES, Column, Table

_HEAD = """# Contracts

Printed from `adplatform/contracts` by `python -m adplatform.report.contracts_page`; a test keeps this page true.
Messages are frozen and closed: an unknown field is an error, and so is a number that is not finite. Money is exact to
the cent and travels as a string.
"""


def _limits(column: Column) -> str:
    parts = []
    if column.choices:
        parts.append(" or ".join(column.choices))
    if column.low is not None:
        parts.append(f"at least {column.low:g}")
    if column.high is not None:
        parts.append(f"at most {column.high:g}")
    if column.references:
        parts.append(f"refers to {column.references}")
    return ", ".join(parts)


def _table(table: Table) -> list[str]:
    kept = f"by UTC day of {table.day_of}" if table.daily else "as one snapshot"
    lines = [f"### {table.name}", "", f"{table.description} Key {table.key}; kept {kept}.", ""]
    lines += ["| column | type | null | limits | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| {c.name} | {c.kind.value} | {'yes' if c.nullable else ''} | {_limits(c)} | {c.description} |"
        for c in table.columns
    ]
    return [*lines, ""]


def _type(annotation: Any) -> str:
    """The type as a reader writes it: limits and validators are left out, aliases are opened."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, UnionType):
        return " \\| ".join(_type(part) for part in inner)
    if origin is not None:
        return f"{origin.__name__}[{', '.join('...' if part is Ellipsis else _type(part) for part in inner)}]"
    return "None" if annotation is type(None) else str(annotation.__name__)


def _message(model: type[BaseModel]) -> list[str]:
    lines = [f"### {model.__name__}", "", " ".join(inspect.cleandoc(model.__doc__ or "").split()), ""]
    lines += ["| field | type | default |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        lines.append(f"| {name} | {_type(field.annotation)} | {default if len(default) < 60 else 'see the code'} |")
    return [*lines, ""]


def _messages(module: ModuleType) -> list[str]:
    found = [
        m
        for m in vars(module).values()
        if inspect.isclass(m) and issubclass(m, Message) and m.__module__ == module.__name__
    ]
    return [line for model in found for line in _message(model)]


def page() -> str:
    """The whole page."""
    lines = [_HEAD, "## Landing tables", ""]
    for table in TABLES.values():
        lines += _table(table)
    lines += [
        "## Features",
        "",
        f"Categorical: {', '.join(features.CATEGORICAL)}.",
        "",
        f"Numeric: {', '.join(features.NUMERIC)}.",
        "",
    ]
    lines += ["## Messages", ""]
    for module in (
        brief, creative, targeting, measurement, delivery, plan, promotion, serving, problems, monitoring, alerts, claims,
    ):  # fmt: skip
        lines += _messages(module)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
