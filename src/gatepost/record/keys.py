"""The keys of an event: how each value is written to JSON, and strictly read from it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

from gatepost.record.errors import RecordError


class _Missing:
    """Stands where a key has no default."""


_REQUIRED: Final = _Missing()


@final
@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one type are written and read.

    :param write: from the value to what JSON has.
    :param read: the other way; raises ``ValueError`` for what it is not.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@final
@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    :param name: in JSON.
    :param attribute: of the event.
    :param codec: its type.
    :param default: of a key that may be left out.
    """

    name: str
    attribute: str
    codec: Codec
    default: Any = _REQUIRED


def _exactly(*types: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in types:
            raise ValueError(f"is no {types[0].__name__}")
        return value

    return read


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("is no number from 0")
    return value


def _moment(value: Any) -> float:
    if type(value) not in (int, float) or not -1e10 < value < 2.5e11:  # what a calendar has
        raise ValueError("is no number of seconds")
    return float(value)


def _address(value: Any) -> tuple[str, int]:
    if not isinstance(value, list) or [type(each) for each in value] != [str, int]:
        raise ValueError("is no address with a port")
    return value[0], value[1]


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or any(type(each) is not str for each in value):
        raise ValueError("is no list of names")
    return tuple(value)


def octets_to_json(data: bytes) -> str | dict[str, str]:
    """Octets as text where they are UTF-8 without NUL; as an object with Base64 otherwise."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(data).decode()}
    return text if "\0" not in text else {"b64": base64.b64encode(data).decode()}


def _octets(value: Any) -> bytes:
    try:
        if type(value) is str:
            return value.encode()
        if isinstance(value, dict) and list(value) == ["b64"] and type(value["b64"]) is str:
            return base64.b64decode(value["b64"], validate=True)
    except (UnicodeEncodeError, binascii.Error):
        pass
    raise ValueError("are no octets")


def _same(value: Any) -> Any:
    return value


TEXT: Final = Codec(_same, _exactly(str))
TRUTH: Final = Codec(_same, _exactly(bool))
COUNT: Final = Codec(_same, _count)
MOMENT: Final = Codec(lambda value: round(value, 6), _moment)
ADDRESS: Final = Codec(list, _address)
NAMES: Final = Codec(list, _names)
OCTETS: Final = Codec(octets_to_json, _octets)


def one_of(*words: str) -> Codec:
    """One of some words."""

    def read(value: Any) -> str:
        if value not in words or type(value) is not str:
            raise ValueError(f"is none of {', '.join(words)}")
        return value

    return Codec(_same, read)


def encode(event: object, keys: tuple[Key, ...]) -> dict[str, Any]:
    """What JSON has of an event; defaults are left out."""
    document = {}
    for key in keys:
        value = getattr(event, key.attribute)
        if key.default is _REQUIRED or value != key.default:
            document[key.name] = key.codec.write(value)
    return document


def decode(document: dict[str, Any], keys: tuple[Key, ...], *, lenient: bool) -> dict[str, Any]:
    """The attributes of an event.

    :param lenient: pass over keys that are not known.
    :raises RecordError: for an unknown key, a missing one, or a value that is not what it should be.
    """
    attributes = {}
    for key in keys:
        if key.name in document:
            try:
                attributes[key.attribute] = key.codec.read(document.pop(key.name))
            except ValueError as error:
                raise RecordError(f"the key {key.name!r} of an event {error}") from None
        elif key.default is _REQUIRED:
            raise RecordError(f"an event has no key {key.name!r}")
    if document and not lenient:
        raise RecordError(f"an event has a key {min(document)[:32]!r} that is not known")
    return attributes
