"""Errors that say whose fault it was, whether to retry, and what to reply.

One tree. ``LocalProtocolError`` means that our own side asked for what the protocol forbids (a bug, a bad argument);
``RemoteProtocolError`` means that the peer did. Whether trying again may help is a separate axis (``temporary``), and
what to tell an SMTP peer stands on the error (``code`` and ``enhanced``: RFC 5321 §4.2, RFC 3463). ``hint`` is one
sentence to the operator: what to do.
"""

from __future__ import annotations


def _one_line(text: str) -> str:
    """Text that may quote a peer or a file, as one line that does nothing where it is shown."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


class GatepostError(Exception):
    """The root of every error that gatepost raises on purpose.

    :param message: what happened; whatever is in it, it becomes one line that is safe to write to a log.
    :param hint: what the operator or caller can do about it; empty when nothing can be done.
    :param temporary: whether the same attempt may succeed later.
    """

    temporary: bool = False

    def __init__(self, message: str, *, hint: str = "", temporary: bool | None = None) -> None:
        self.message = _one_line(message)
        super().__init__(self.message)
        self.hint = hint
        if temporary is not None:
            self.temporary = temporary

    def __str__(self) -> str:
        return self.message


class ProtocolError(GatepostError):
    """A conversation broke its protocol.

    :param code: the SMTP reply code to answer with (RFC 5321 §4.2), or 0 when no reply is due.
    :param enhanced: the enhanced status code (RFC 3463), or an empty string.
    """

    def __init__(
        self, message: str, *, code: int = 0, enhanced: str = "", hint: str = "", temporary: bool | None = None
    ) -> None:
        super().__init__(message, hint=hint, temporary=temporary)
        self.code = code
        self.enhanced = enhanced


class LocalProtocolError(ProtocolError):
    """We tried to do what the protocol forbids: a wrong call, or an argument that must never reach a wire."""


class RemoteProtocolError(ProtocolError):
    """The peer did what the protocol forbids."""


class UpgradeError(GatepostError):
    """The conversation did not become private. It is over: nothing may be said in the clear afterwards."""


class HandshakeError(UpgradeError):
    """The TLS handshake failed.

    :param alert: the TLS alert's name when one was sent or received, else an empty string.
    :param plaintext: whether what arrived in place of a TLS record was readable text: the same finding as
        ``PlaintextAfterUpgrade``, seen one segment later.
    """

    temporary = True

    def __init__(self, message: str, *, alert: str = "", plaintext: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.alert = alert
        self.plaintext = plaintext


class VerificationError(UpgradeError):
    """The peer's certificate did not prove what the policy asks for.

    :param reason: a stable word for the failure (``wrong-name``, ``expired``, ``untrusted``, …), see ``tls.verify``.
    :param result_type: the TLSRPT result type (RFC 8460 §4.3), from the line that knew it.
    """

    temporary = True

    def __init__(self, message: str, *, reason: str, result_type: str = "validation-failure", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.result_type = result_type


class DeadlineExceeded(GatepostError):  # named for what happened
    """A peer, or a whole exchange, took longer than its deadline allows."""

    temporary = True


class ConfigError(GatepostError):
    """The configuration cannot be used. ``problems`` lists each one as ``FILE:LINE: key: what is wrong``."""

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(map(_one_line, problems))


class CertificateError(GatepostError):
    """A certificate or key cannot be used: missing, unreadable, expired, too weak, or not matching."""


class StoreError(GatepostError):
    """The durable store could not do what was asked; nothing was acknowledged on the strength of it."""

    temporary = True
