"""Write docs/api.md from the docstrings; with ``--check``, say whether it is current (exit 1 when not)."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent / "api.md"
MODULES = ("gatepost", "gatepost.blocking", "gatepost.smtp", "gatepost.pop3", "gatepost.tracing", "gatepost.errors")

HEAD = """\
# API reference

<!-- Written by docs/generate_api.py from the docstrings: change those, then run it again. -->

The public names of the library. [library.md](library.md) shows how clients are written with them and
[library-server.md](library-server.md) how servers are; `gatepost.wire`, `gatepost.tls` and `gatepost.net` have their
own docstrings. A name that begins with an underscore is nobody's but ours.
"""

_FIELD = re.compile(r"^:(param|return|returns|raises|ivar)\s?([^:]*):\s?(.*)$")


def main() -> int:
    """Write the reference, or compare it."""
    text = reference()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET} is not current; run python docs/generate_api.py", file=sys.stderr)
    return 1


def reference() -> str:
    """The whole document."""
    shown: set[int] = set()
    parts = [HEAD]
    for name in MODULES:
        module = importlib.import_module(name)
        parts.append(f"## {name}\n\n{_prose(_document(module))}\n")
        for each in _names(module):
            value = getattr(module, each)
            if inspect.ismodule(value) or id(value) in shown or not (inspect.isclass(value) or callable(value)):
                continue
            shown.add(id(value))
            parts.extend(_entry(f"{name}.{each}", value))
    return "\n".join(parts).rstrip("\n") + "\n"


def _names(module: Any) -> list[str]:
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    return [
        name for name, value in vars(module).items() if inspect.isclass(value) and value.__module__ == module.__name__
    ]


def _entry(name: str, value: Any) -> Iterator[str]:
    """A heading, the signature, the docstring; of a class each of its public members, too."""
    if not inspect.isclass(value):
        yield f"### {name}\n\n{_code(name, value)}\n{_prose(_document(value))}"
        return
    ours = [base.__name__ for base in value.__bases__ if base.__module__.startswith("gatepost")]
    bases = [name for name in ours if not name.startswith("_")]
    kind = f"class, a `{'`, a `'.join(bases)}`" if bases else "class"
    constructor = "" if _closed(value) else f"{_code(name, value)}\n"
    yield f"### {name}\n\n*{kind}*\n\n{constructor}{_prose(_document(value))}"
    for member, found in _members(value):
        if isinstance(found, property):
            yield f"#### {name}.{member}\n\n{_prose(_document(found))}"
        else:
            yield f"#### {name}.{member}()\n\n{_code(member, found)}\n{_prose(_document(found))}"


def _closed(value: type) -> bool:
    """Whether callers do not construct it: errors say how they are made, and some things are made by others only."""
    if value.__name__ in {"PlainConnection", "SecureConnection", "TLSEvidence"}:
        return True
    return issubclass(value, Exception) and "__init__" not in vars(value)


def _members(value: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties, inherited ones from our own classes too."""
    if issubclass(value, Exception):
        return
    seen: set[str] = set()
    for owner in value.__mro__:
        if not owner.__module__.startswith("gatepost"):
            continue
        for member, found in vars(owner).items():
            public = not member.startswith("_") and member not in seen
            if public and (isinstance(found, property) or inspect.isfunction(found)):
                seen.add(member)
                yield member, found


def _code(name: str, value: Any) -> str:
    if isinstance(value, types.GenericAlias) or not (inspect.isclass(value) or inspect.isroutine(value)):
        return ""  # the name of a type; Python versions differ in whether that has a signature
    signature = inspect.signature(value)
    parameters = [each for each in signature.parameters.values() if each.name not in ("self", "_mint")]
    short = name.rpartition(".")[2]
    prefix = "async " if inspect.iscoroutinefunction(value) else ""
    returns = signature.return_annotation
    arrow = f" -> {returns}" if isinstance(returns, str) and not inspect.isclass(value) else ""
    text = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    text = re.sub(r": '([^']*)'", r": \1", text)
    line = f"{prefix}{short}{text}{arrow}"
    if len(line) > 110:
        line = (
            f"{prefix}{short}(\n" + "".join(f"    {_parameter(each)},\n" for each in _starred(parameters)) + f"){arrow}"
        )
    return f"```python\n{line}\n```\n"


def _starred(parameters: list[inspect.Parameter]) -> Iterator[inspect.Parameter | str]:
    star = False
    for each in parameters:
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not star:
            star = True
            yield "*"
        yield each


def _parameter(each: inspect.Parameter | str) -> str:
    return re.sub(r": '([^']*)'", r": \1", str(each))


def _document(value: Any) -> str:
    own = value.__doc__
    return inspect.cleandoc(own) if own else ""


def _prose(document: str) -> str:
    """A docstring as Markdown: fields become a list; indented blocks and doctests become code."""
    lines: list[str] = []
    fields = code = False
    for line, is_code in _marked(document.splitlines()):
        if is_code != code:
            lines.extend(("", "```python") if is_code else ("```",))
            code = is_code
        field = None if code else _FIELD.match(line)
        if code:
            lines.append(line.removeprefix("    "))
        elif field:
            if not fields:
                lines.append("")
            fields = True
            lines.append(f"- {_label(field[1], field[2].strip())}{_ticks(field[3])}")
        else:
            fields = fields and bool(line.strip())
            lines.append(_ticks(f"  {line.strip()}" if fields else line))
    if code:
        lines.append("```")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _marked(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code: indented or at a doctest, outside a list of fields; with the gaps between."""
    codes: list[bool] = []
    fields = doctest = False
    for line in lines:
        fields = bool(line.strip()) and (fields or bool(_FIELD.match(line)))
        doctest = bool(line.strip()) and (doctest or line.startswith(">>>"))
        codes.append(doctest or (line.startswith("    ") and not fields))
    for index, line in enumerate(lines):
        gap = not line.strip() and any(codes[:index]) and codes[max(index - 1, 0)] and any(codes[index + 1 : index + 2])
        yield line, codes[index] or gap


def _ticks(line: str) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", line)


def _label(kind: str, name: str) -> str:
    if kind in ("param", "ivar"):
        return f"**{name}**: "
    return f"raises `{name}` " if kind == "raises" else "returns "


if __name__ == "__main__":
    sys.exit(main())
