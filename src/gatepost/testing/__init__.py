"""The public test kit. Names are loaded when first used, so importing this is cheap.

``SMTPServer`` and the pytest fixtures ``smtp_server`` and ``make_smtp_server`` are for programs that send mail;
``MailServer`` is the whole mail server; ``TestAuthority`` makes good certificates and bad ones.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gatepost.testing.ca import TestAuthority
    from gatepost.testing.fixtures import make_smtp_server, smtp_server
    from gatepost.testing.server import MailServer
    from gatepost.testing.smtpserver import ReceivedMessage, SMTPServer

__all__ = ["MailServer", "ReceivedMessage", "SMTPServer", "TestAuthority", "make_smtp_server", "smtp_server"]

_HOME_OF: Final = {
    "MailServer": "server",
    "ReceivedMessage": "smtpserver",
    "SMTPServer": "smtpserver",
    "TestAuthority": "ca",
    "make_smtp_server": "fixtures",
    "smtp_server": "fixtures",
}


def __getattr__(name: str) -> Any:  # PEP 562
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
