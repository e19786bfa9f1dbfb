"""docs/limits.md says of each limit what the configuration and the program say, and leaves none out."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gatepost.config.gates import Backend, Gate
from gatepost.config.schema import Config

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "gatepost"
PAGE = (ROOT / "docs" / "limits.md").read_text()
UNITS = {
    "": 1, "octets": 1, "characters": 1, "ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}  # fmt: skip
TABLES: dict[str, type[BaseModel]] = {
    "": Config,
    **{
        name: kind
        for name, field in Config.model_fields.items()
        if isinstance(kind := field.annotation, type) and issubclass(kind, BaseModel)
    },
    "backend": Backend,
    "gate": Gate,
}
# Keys with a number that bound nothing: what they mean is no limit, or zero means that another thing decides.
NO_LIMITS = {"workers", "tls.tickets", "delivery.port", "greylist.network_ipv4", "greylist.network_ipv6"}


def _rows() -> Iterator[tuple[str, str]]:
    """The cells "default" and "set by" of every row."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) >= 3 and cells[0] not in ("limit", "what"):
            yield cells[1], cells[2]


def _quantity(text: str) -> float:
    """``1,000``, ``64 KiB``, ``5 min`` as a number."""
    found = re.fullmatch(r"([\d,]+) ?([A-Za-z]*)", text)
    assert found is not None, f"{text!r} is no quantity"
    return float(found[1].replace(",", "")) * UNITS[found[2]]


def _value(reference: str) -> Any:
    """What a key or a constant says."""
    module, _, name = reference.partition(":")
    if name:
        return getattr(importlib.import_module("gatepost." + module.removesuffix(".py").replace("/", ".")), name)
    table, _, key = reference.rpartition(".")
    return TABLES[table].model_fields[key].default


def _is_checked(reference: str) -> bool:
    """Whether a reference is a constant or a key with a number."""
    if ":" in reference:
        return True
    table, _, key = reference.rpartition(".")
    return table in TABLES and key in TABLES[table].model_fields and reference not in NO_LIMITS


ROWS = [(default, re.findall(r"`([^`]+)`", setters)) for default, setters in _rows()]
CHECKED = [(default, references) for default, references in ROWS if any(map(_is_checked, references))]


@pytest.mark.parametrize(("default", "references"), CHECKED, ids=[" ".join(each) for _, each in CHECKED])
def test_page_has_the_default_of_each_limit(default: str, references: list[str]) -> None:
    """One quantity for each key or constant, in their order."""
    quantities = [_quantity(part.strip()) for part in default.split(";")]
    assert [float(_value(reference)) for reference in references] == pytest.approx(quantities)


def test_page_names_every_key_that_bounds_something() -> None:
    """Sizes, counts and times of the configuration."""
    named = {reference for _, references in ROWS for reference in references}
    missing = []
    for table, model in TABLES.items():
        for key, field in model.model_fields.items():
            name = f"{table}.{key}" if table else key
            number = isinstance(field.default, int | float) and not isinstance(field.default, bool)
            if number and name not in named | NO_LIMITS:
                missing.append(name)
    assert missing == []


def _constants(path: Path) -> Iterator[str]:
    """The constants of a module whose names say that they are limits."""
    for node in ast.parse(path.read_text()).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id.isupper() and "LIMIT" in target.id:
            yield target.id


# Limits that nobody meets: of what is shown or remembered, of parsers whose input another limit bounds already.
INSIDE = {
    "accounts/names.py:LOCAL_LIMIT", "certs/chain.py:_LIMIT", "certs/subject.py:_COMMON_NAME_LIMIT",
    "delivery/pool.py:_BAD_LIMIT", "delivery/trouble.py:_TEXT_LIMIT", "mailbox/names.py:_COMPONENT_LIMIT",
    "mailbox/names.py:_HOST_LIMIT", "mailbox/sizes.py:_LIMIT", "net/redaction.py:HELD_LIMIT",
    "net/redaction.py:_TAG_LIMIT", "net/resolve.py:ADDRESS_LIMIT", "net/resolve.py:NAME_LIMIT",
    "net/resolve.py:RECORD_LIMIT", "net/serve_dialogue.py:_DISCARD_LIMIT", "policy/addresses.py:_CACHE_LIMIT",
    "record/writer.py:BATCH_LIMIT", "serve/control.py:_REPLY_LIMIT",
    "service/gate/logins.py:_NAME_LIMIT", "service/gate/pop3_offer.py:_MECHANISMS_LIMIT",
    "service/gate/pop3_offer.py:_TAG_LIMIT", "service/gate/session.py:UNSENT_LIMIT",
    "service/gate/smtp_content.py:HELD_LIMIT", "service/gate/smtp_offer.py:_MECHANISMS_LIMIT",
    "service/gate/smtp_side.py:_PROFILES_LIMIT",
    "service/smtp/session.py:SYNC_LIMIT", "store/sqlite/database.py:WAL_LIMIT", "tls/clienthello.py:_NAME_LIMIT",
    "tls/clienthello.py:_RECORD_LIMIT", "tls/engine.py:_FLIGHT_LIMIT", "tls/engine.py:_RECORD_LIMIT",
    "tls/evidence.py:_KNOWN_LIMIT", "tls/names.py:_LABEL_LIMIT", "tls/names.py:_NAME_LIMIT",
    "tls/records.py:KEPT_LIMIT",
    "tls/records.py:RECORD_LIMIT", "tls/sessions.py:_CONTEXTS_LIMIT", "tls/stream.py:_PLAINTEXT_LIMIT",
    "tls/stream.py:_RECORD_LIMIT", "wire/imap/capabilities.py:LITERAL_MINUS_LIMIT", "wire/imap/claim.py:_NAME_LIMIT",
    "wire/imap/client.py:LINE_LIMIT", "wire/imap/grammar.py:NUMBER_LIMIT", "wire/imap/responses.py:HELD_LIMIT",
    "wire/inbox.py:SECONDS_LIMIT", "wire/pop3/client.py:_AUTH_COMMAND_LIMIT", "wire/pop3/exchange.py:COMMAND_LIMIT",
    "wire/pop3/exchange.py:LINE_LIMIT", "wire/pop3/reply.py:LINE_LIMIT", "wire/proxy_vectors.py:NAME_LIMIT",
    "wire/proxy_vectors.py:UNIQUE_ID_LIMIT", "wire/recipes/irc.py:_TOKEN_LIMIT", "wire/recipes/mysql.py:_VERSION_LIMIT",
    "wire/sasl/plain.py:MESSAGE_LIMIT", "wire/sasl/scram.py:NONCE_LIMIT", "wire/sasl/scram.py:SALT_LIMIT",
    "wire/smtp/client.py:_INITIAL_LIMIT", "wire/smtp/envelope.py:_ADDRESS_LIMIT",
    "wire/auth_lines.py:AUTH_LINE_LIMIT", "wire/smtp/exchange.py:COMMAND_LIMIT",
    "wire/smtp/extensions.py:_LINE_LIMIT", "wire/smtp/received.py:_WORD_LIMIT", "wire/upgrade.py:_RECORD_LENGTH_LIMIT",
}  # fmt: skip


def test_page_names_every_constant_that_is_called_a_limit() -> None:
    """Of the server and the library; the commands of an operator bound what he himself brings."""
    named = {reference for _, references in ROWS for reference in references}
    found = {
        f"{name}:{constant}"
        for path in SOURCE.rglob("*.py")
        if not (name := path.relative_to(SOURCE).as_posix()).startswith(("cli/", "config/importers/", "testing/"))
        for constant in _constants(path)
    }
    assert found - named - INSIDE == set(), "docs/limits.md has no row for these"
    assert INSIDE - found == set(), "these are no constants any more"
