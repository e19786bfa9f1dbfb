"""What a handshake tells whoever watches it, for a trace. Nothing is told when nobody does.

OpenSSL reports its states through a callback of the *context*, so a context that may be watched is made so
(``client_context(observable=True)``) and the callback asks the connection who its observer is. Where memory may not be
both written and executed (systemd's MemoryDenyWriteExecute) no callback can be made; the engine then asks for the state
after each record, which tells less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from gatepost.errors import ConfigError
from gatepost.tls.alerts import ALERT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    from OpenSSL import SSL

# SSL_CB_* of ssl.h, for SSL_CTX_set_info_callback(3)
_LOOP: Final = 0x01
_READ: Final = 0x04
_HANDSHAKE_START: Final = 0x10
_HANDSHAKE_DONE: Final = 0x20
_ALERT: Final = 0x4000


class HandshakeObserver(Protocol):
    """Who watches one handshake. Nothing that it does may raise."""

    def state(self, name: str) -> None:
        """OpenSSL is in the state of this name (SSL_state_string_long(3))."""

    def alert(self, name: str, *, sent: bool, fatal: bool) -> None:
        """An alert was sent or received, also where it was encrypted on its way."""

    def certificates(self, chain: tuple[bytes, ...]) -> None:
        """The peer showed these certificates (DER, leaf first); they have not been judged yet."""

    def uninformed(self) -> None:
        """OpenSSL's callback is not there: ``state`` is told once a record, ``alert`` never."""


def make_observable(context: SSL.Context) -> bool:
    """Give a new context the callback; whether that can be done here."""
    try:
        context.set_info_callback(_inform)
    except MemoryError:  # cffi finds no memory that may be written and executed
        return False
    return True


def log_keys(context: SSL.Context, write: Callable[[bytes], None]) -> None:
    """Give a new context a callback that gets each line of NSS's key log format (SSLKEYLOGFILE), without line end.

    Whoever has these lines can decrypt the connections.

    :raises ConfigError: where no callback can be made.
    """
    try:
        context.set_keylog_callback(lambda _, line: write(line))
    except MemoryError:
        raise ConfigError(
            "the keys of TLS sessions cannot be logged here: memory may not be both written and executed",
            hint="MemoryDenyWriteExecute forbids it; run it outside of that unit",
        ) from None


def _inform(connection: SSL.Connection, where: int, value: int) -> None:
    observer = connection.get_app_data()
    if observer is None:
        return
    if where & _ALERT:
        observer.alert(
            ALERT_NAMES.get(value & 0xFF, f"alert {value & 0xFF}"), sent=not where & _READ, fatal=value >> 8 == 2
        )
    elif where & (_LOOP | _HANDSHAKE_START | _HANDSHAKE_DONE):
        observer.state(state_of(connection))


def state_of(connection: SSL.Connection) -> str:
    """OpenSSL's name for what a connection does."""
    return connection.get_state_string().decode("ascii", "backslashreplace")
