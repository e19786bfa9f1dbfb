"""The configuration written as tables, as TOML, and as what differs from the defaults."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from gatepost.config.schema import Config

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def plain(config: Config) -> dict[str, Any]:
    """The configuration as plain tables; keys that are not set are left out, durations stand as text."""
    tables = config.model_dump(mode="json", exclude_none=True)
    assert isinstance(tables, dict)
    return tables


def differences(tables: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """What of ``tables`` is not the same in ``base``; lists of tables are given whole."""
    changed: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            if inner := differences(value, base[name]):
                changed[name] = inner
        elif name not in base or value != base[name]:
            changed[name] = value
    return changed


def toml(tables: dict[str, Any], prefix: str = "") -> str:
    """The tables as TOML: first the plain keys, then tables and lists of tables."""
    lines: list[str] = []
    later: list[str] = []
    for name, value in tables.items():
        key = name if _BARE.fullmatch(name) else toml_value(name)
        if isinstance(value, dict):
            later.append(f"\n[{prefix}{key}]\n{toml(value, f'{prefix}{key}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            later += [f"\n[[{prefix}{key}]]\n{toml(item, f'{prefix}{key}.')}" for item in value]
        else:
            lines.append(f"{key} = {toml_value(value)}\n")
    text = "".join(lines) + "".join(later)
    return text if prefix else text.lstrip("\n")


def toml_value(value: object) -> str:
    """A value, or a list of them, as TOML: on one line, and printable whatever is in it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    text = json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string, but for what is not printable
    return text if text.isprintable() else "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
