"""The kinds of values that keys have: how each is written, and what it becomes.

What one value can say alone is checked here, by functions that raise ValueError in the words that the operator reads.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict

from gatepost.config.endpoints import parse_bind, parse_endpoint, parse_nameserver
from gatepost.config.entries import (
    check_addresses,
    check_certificate_mailbox,
    check_certificate_name,
    check_exempt,
    check_fingerprint,
    check_name,
)
from gatepost.config.names import check_address, check_domain
from gatepost.config.quantities import format_duration, parse_duration, parse_size
from gatepost.policy.addresses import AddressList
from gatepost.policy.levels import SEATS


def _address_list(value: object) -> AddressList:
    if isinstance(value, AddressList):
        return value
    if isinstance(value, str):
        return AddressList((value,))
    if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return AddressList(value)
    raise ValueError("not a list of addresses")


def one_or_many(value: object) -> object:
    """One entry of a list needs no brackets."""
    return (value,) if isinstance(value, str) else value


def _checked(check: Any) -> BeforeValidator:
    """Check text with a function that raises ValueError, and keep the text as it was written."""

    def keep(value: object) -> object:
        if isinstance(value, str):
            check(value)
        return value

    return BeforeValidator(keep)


def _alias_target(value: object) -> object:
    return check_address(value, bare_local=True) if isinstance(value, str) else value


def _alias_name(value: object) -> object:
    """A name, an address, or ``@domain`` for the rest of a domain."""
    if isinstance(value, str) and value.startswith("@"):
        return f"@{check_domain(value[1:])}"
    return _alias_target(value)


def entries_by(check: Any) -> tuple[Any, ...]:
    """A list of text, each entry read by a function that raises ValueError; one entry needs no brackets."""

    def read(value: object) -> object:
        value = one_or_many(value)
        if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
            return tuple(check(entry) for entry in value)
        return value

    return Field(min_length=1, max_length=10000), BeforeValidator(read)


def _rule_addresses(value: object) -> object:
    value = one_or_many(value)
    if isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        check_addresses(value)
    return value


def seated(value: object) -> object:
    """Refuse the words whose seats are kept for later, saying why."""
    if isinstance(value, str) and value in SEATS:
        raise ValueError(f'"{value}" {SEATS[value]}')
    return value


Duration: TypeAlias = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str, when_used="json")
]
Size: TypeAlias = Annotated[int, BeforeValidator(parse_size)]
Addresses: TypeAlias = Annotated[
    AddressList, BeforeValidator(_address_list), PlainSerializer(list[str], return_type=list[str], when_used="json")
]
Bind: TypeAlias = Annotated[str, _checked(parse_bind)]
Endpoint: TypeAlias = Annotated[str, _checked(parse_endpoint)]
Nameserver: TypeAlias = Annotated[str, _checked(parse_nameserver)]
Domain: TypeAlias = Annotated[
    str, BeforeValidator(lambda value: check_domain(value) if isinstance(value, str) else value)
]
Mailbox: TypeAlias = Annotated[
    str, BeforeValidator(lambda value: check_address(value) if isinstance(value, str) else value)
]
AliasName: TypeAlias = Annotated[str, BeforeValidator(_alias_name)]
AliasTarget: TypeAlias = Annotated[str, BeforeValidator(_alias_target)]
AliasTargets: TypeAlias = Annotated[
    tuple[AliasTarget, ...], Field(min_length=1, max_length=1000), BeforeValidator(one_or_many)
]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][-a-z0-9_]{0,62}$")]
Count: TypeAlias = Annotated[int, Strict()]
Switch: TypeAlias = Annotated[bool, Strict()]
TLSVersion: TypeAlias = Literal["TLSv1.2", "TLSv1.3"]
AddressEntries: TypeAlias = Annotated[
    tuple[str, ...], Field(min_length=1, max_length=10000), BeforeValidator(_rule_addresses)
]
NameEntries: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_name)]
ExemptEntries: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_exempt)]
CertificateNames: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_certificate_name)]
CertificateMailboxes: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_certificate_mailbox)]
AskedCertificate: TypeAlias = Literal["none", "ask", "require"]
Fingerprints: TypeAlias = Annotated[tuple[str, ...], *entries_by(check_fingerprint)]


class Table(BaseModel):
    """What all tables have in common: frozen, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=False,
        arbitrary_types_allowed=True,
        str_max_length=4096,
        hide_input_in_errors=True,
        serialize_by_alias=True,  # `from` and `except` are no names in Python
    )
