"""Write docs/configuration.md from the schema; with ``--check``, say whether it is current (exit 1 when not)."""

from __future__ import annotations

import inspect
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from gatepost.config import greylist, kinds, schema
from gatepost.config.quantities import format_duration, parse_size
from gatepost.config.record import check_fraction
from gatepost.policy.addresses import AddressList

TARGET = Path(__file__).parent / "configuration.md"

HEAD = """\
# Configuration

<!-- Written by docs/generate_configuration.py from src/gatepost/config/schema.py: change that, then run it again. -->

One TOML file. Every key has a default, and a file that is not there is a file of defaults: `gatepost serve` then serves
this machine alone. `gatepost.example.toml` shows a whole server.

**Which file.** The one named by `--config`, else `./gatepost.toml`, else `/etc/gatepost/gatepost.toml`. Files in
`conf.d/*.toml` beside it are merged into it in the order of their names: tables are joined, `[[listener]]` entries are
added, and of two values for one key the later file's counts. Relative paths are relative to the file they stand in.
`--data DIR` overrides `data`.

**What is refused.** Unknown keys, wrong types and combinations that cannot work are refused at the start and at a
reload, all at once, each with its file and line:

```
gatepost.toml:4: hostnam: unknown key; did you mean hostname?
gatepost.toml:9: limits.exempt: "10.0.0.1/8" has bits behind its prefix; did you mean 10.0.0.0/8?
```

`gatepost config check` looks without starting, `config check --full` also at certificates, ports and directories.
`gatepost config show` prints what is in effect, `--changed` only what differs from the defaults.

**How values are written.**

| kind | examples |
|---|---|
| duration | `90` (seconds), `"30s"`, `"5m"`, `"1h 30m"`, `"5d"` |
| size | `65536` (bytes), `"64 KiB"`, `"50M"` (powers of 1024) |
| bind | `"0.0.0.0:25"`, `"[::]:25"`, `"localhost:2525"` |
| address list | `"192.0.2.7"`, `"10.0.0.0/8"`, `"10.0.0.*"`, `"10.0.0.1-10.0.0.9"`, `"2001:db8::/32"`, `"*"` |

A list of one may be written without brackets. In an address list an entry behind `!` excludes, wherever it stands:
`["10.0.0.*", "!10.0.0.9"]`. In rules an entry may be `"file:PATH"`, a file with one entry a line, read again when it
changes; [policy.md](policy.md) tells how rules are read.
"""

LISTENERS = """\
Each entry is one listener. Without any, and without a `[[gate]]`, there are five, on this machine alone: `mx` on port
2525, `submission` on 2587, `submissions` on 2465 with implicit TLS, `pop3` on 2110, and `pop3s` on 2995 with implicit
TLS. With a `[[gate]]` and no listener there are none: then only the gates are served, and no mail is kept here."""

GATES = """\
Each entry is one gate. It has every key of a listener; rules and lists of listeners take its name like a listener's.
See [gate.md](gate.md)."""


CERTIFICATES = """\
The first certificate, that of `[tls]` or else the first of these, is the default: for clients that name no host, or one
that no certificate has. Of several for one name, exact names come before wildcards; see
[certificates.md](certificates.md)."""


def main() -> int:
    """Write the reference, or check it."""
    text = reference()
    if sys.argv[1:] == ["--check"]:
        current = TARGET.exists() and TARGET.read_text() == text
        if not current:
            print(f"{TARGET} is not current; run: python {Path(__file__).name}", file=sys.stderr)
        return 0 if current else 1
    TARGET.write_text(text)
    return 0


def reference() -> str:
    """The whole document."""
    parts = [HEAD, _section("Top of the file", "", schema.Config)]
    for name, field in schema.Config.model_fields.items():
        model = _model(field.annotation)
        if model is not None:
            header = f"[[{name}]]" if get_origin(field.annotation) is tuple else f"[{name}]"
            parts.append(_section(f"`{header}`", inspect.cleandoc(model.__doc__ or ""), model))
    parts.append(_aliases())
    return "\n".join(parts)


def _section(title: str, text: str, model: type[BaseModel]) -> str:
    lines = [f"## {title}", ""]
    if text:
        lines += [text, ""]
    if model is schema.Listener:
        lines += [LISTENERS, ""]
    if model is schema.Gate:
        lines += [GATES, ""]
    if model is schema.Certificate:
        lines += [CERTIFICATES, ""]
    lines += ["| key | kind | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if _model(field.annotation) is None and name != "aliases":
            cells = (
                f"`{field.alias or name}`",
                _kind(field),
                _default(field),
                (field.description or "").replace("|", "\\|"),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _aliases() -> str:
    text = schema.Config.model_fields["aliases"].description
    return f"""## `[aliases]`

{text}

```toml
[aliases]
root = "postmaster"
"sales@example.org" = ["ann@example.org", "bob@example.net"]
```
"""


def _model(annotation: Any) -> type[BaseModel] | None:
    """The table that a field holds, itself or in a list."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _kind(field: FieldInfo) -> str:
    kind = _words(field.annotation)
    if any(isinstance(part, BeforeValidator) and part.func is parse_size for part in field.metadata):
        return "size"
    if _is_fraction(field):
        kind = "number"
    for bound in field.metadata:
        if isinstance(bound, Ge):
            kind += f", from {format_duration(float(str(bound.ge))) if 'duration' in kind else bound.ge}"
        elif isinstance(bound, Gt):
            kind += f", more than {bound.gt}"
        elif isinstance(bound, Le):
            kind += f" to {format_duration(float(str(bound.le))) if 'duration' in kind else bound.le}"
    return kind


def _is_fraction(field: FieldInfo) -> bool:
    return any(isinstance(part, BeforeValidator) and part.func is check_fraction for part in field.metadata)


def _words(annotation: Any) -> str:
    named = {
        kinds.Duration: "duration", kinds.Size: "size", kinds.Addresses: "address list", kinds.Bind: "bind",
        kinds.AddressEntries: "address list", kinds.ExemptEntries: "list of addresses and names",
        kinds.NameEntries: "list of names", kinds.CertificateNames: "list of names",
        kinds.Fingerprints: "list of SHA-256", greylist.MailboxEntries: "list of mailboxes and domains",
        greylist.Countries: "list of countries",
        kinds.Endpoint: "host:port", kinds.Domain: "domain", kinds.Nameserver: "address",
    }  # fmt: skip
    for alias, word in named.items():
        if annotation == alias:
            return word
    origin = get_origin(annotation)
    if origin is Annotated:
        return _words(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _words(next(part for part in get_args(annotation) if part is not type(None)))
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in get_args(annotation))
    if origin is tuple:
        return f"list of {_words(get_args(annotation)[0])}"
    plain = {str: "text", int: "number", bool: "true or false", Path: "path", float: "duration"}
    return plain.get(annotation, "address list" if annotation is AddressList else str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None or field.default is None:
        return ""
    value = field.default
    if isinstance(value, AddressList):
        entries = ", ".join('"' + entry + '"' for entry in value)
        return f"`[{entries}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if _is_fraction(field):
        return f"`{value:g}`"
    if isinstance(value, float):
        return f'`"{format_duration(value)}"`'
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    sys.exit(main())
