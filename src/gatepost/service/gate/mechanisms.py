"""Which of a server's SASL mechanisms a login can use that comes through a gate. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from gatepost.wire.auth_lines import MECHANISM

_BOUND: Final = "-PLUS"  # the end of a mechanism's name that binds the login to its TLS connection


def passing(listed: Collection[str]) -> tuple[str, ...]:
    """Of a server's mechanisms, each once, those with which a login can come through a gate.

    EXTERNAL and the ``-PLUS`` ones are about the handshake, and the one with the client is not the one with the server.
    A client that can bind its login and finds no ``-PLUS`` says so in SCRAM, and a server that has it must take that
    for an attack (RFC 5802 §6): so the bare mechanism goes with it, unless nothing else would be left. What cannot be a
    mechanism's name is left out.
    """
    names = [each for each in listed if MECHANISM.fullmatch(each)]
    bare = dict.fromkeys(each for each in names if each != "EXTERNAL" and not each.endswith(_BOUND))
    bound = {each.removesuffix(_BOUND) for each in names if each.endswith(_BOUND)}
    return tuple(each for each in bare if each not in bound) or tuple(bare)
