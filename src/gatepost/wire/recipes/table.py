"""All recipes, by name. A new protocol is one file and one row here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gatepost.errors import LocalProtocolError
from gatepost.wire.recipes.ftp import FTP
from gatepost.wire.recipes.imap import IMAP
from gatepost.wire.recipes.irc import IRC
from gatepost.wire.recipes.ldap import LDAP
from gatepost.wire.recipes.mysql import MYSQL
from gatepost.wire.recipes.nntp import NNTP
from gatepost.wire.recipes.pop3 import POP3
from gatepost.wire.recipes.postgres import POSTGRES
from gatepost.wire.recipes.raw import RAW
from gatepost.wire.recipes.recipe import Recipe
from gatepost.wire.recipes.sieve import SIEVE
from gatepost.wire.recipes.smtp import LMTP, SMTP, SUBMISSION
from gatepost.wire.recipes.xmpp import XMPP, XMPP_SERVER

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        each.name: each
        for each in (
            SMTP,
            SUBMISSION,
            LMTP,
            POP3,
            IMAP,
            SIEVE,
            NNTP,
            FTP,
            IRC,
            XMPP,
            XMPP_SERVER,
            LDAP,
            POSTGRES,
            MYSQL,
            RAW,
        )
    }
)
ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {"managesieve": "sieve", "postgresql": "postgres", "mariadb": "mysql"}
)


def recipe(name: str) -> Recipe:
    """The recipe of a protocol.

    :param name: a name of ``RECIPES`` or of ``ALIASES``, in any case.
    :raises LocalProtocolError: when there is none; it names the nearest.

    >>> import gatepost
    >>> gatepost.recipe("IMAP").port, gatepost.recipe("imap").implicit_port
    (143, 993)
    >>> gatepost.recipe("imapp")
    Traceback (most recent call last):
    gatepost.errors.LocalProtocolError: there is no recipe for 'imapp'; did you mean imap?
    """
    lower = name.lower()
    found = RECIPES.get(ALIASES.get(lower, lower))
    if found is not None:
        return found
    near = difflib.get_close_matches(lower, [*RECIPES, *ALIASES], n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(RECIPES)}"
    raise LocalProtocolError(f"there is no recipe for {name!a}; {hint}", hint=hint)
