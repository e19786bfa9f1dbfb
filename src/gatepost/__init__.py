"""gatepost moves mail privately: a mail server, relay and gate built around the STARTTLS upgrade, and the library.

    import gatepost

    async with gatepost.connect("mail.example.org", 587) as plain:
        secure = await plain.upgrade("smtp")

Importing this package imports nothing else: public names, and the packages ``blocking``, ``smtp``, ``pop3`` and
``testing``, are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gatepost._version import __version__

if TYPE_CHECKING:
    from gatepost import blocking as blocking
    from gatepost import errors as errors
    from gatepost import pop3 as pop3
    from gatepost import smtp as smtp
    from gatepost import testing as testing
    from gatepost import tracing as tracing
    from gatepost.connecting import PlainConnection as PlainConnection
    from gatepost.connecting import SecureConnection as SecureConnection
    from gatepost.connecting import connect as connect
    from gatepost.errors import CertificateError as CertificateError
    from gatepost.errors import ConfigError as ConfigError
    from gatepost.errors import DeadlineExceeded as DeadlineExceeded
    from gatepost.errors import GatepostError as GatepostError
    from gatepost.errors import HandshakeError as HandshakeError
    from gatepost.errors import LocalProtocolError as LocalProtocolError
    from gatepost.errors import ProtocolError as ProtocolError
    from gatepost.errors import RemoteProtocolError as RemoteProtocolError
    from gatepost.errors import UpgradeError as UpgradeError
    from gatepost.errors import VerificationError as VerificationError
    from gatepost.net.trace import trace as trace
    from gatepost.serving import serve_protocol as serve_protocol
    from gatepost.tls.sessions import SessionCache as SessionCache
    from gatepost.wire.recipes.recipe import Recipe as Recipe
    from gatepost.wire.recipes.recipe import UpgradeRefused as UpgradeRefused
    from gatepost.wire.recipes.table import RECIPES as RECIPES
    from gatepost.wire.recipes.table import recipe as recipe
    from gatepost.wire.upgrade import Origin as Origin
    from gatepost.wire.upgrade import PlaintextAfterUpgrade as PlaintextAfterUpgrade
    from gatepost.wire.upgrade import TLSEvidence as TLSEvidence
    from gatepost.wire.upgrade import Verification as Verification

__all__ = [
    "RECIPES",
    "CertificateError",
    "ConfigError",
    "DeadlineExceeded",
    "GatepostError",
    "HandshakeError",
    "LocalProtocolError",
    "Origin",
    "PlainConnection",
    "PlaintextAfterUpgrade",
    "ProtocolError",
    "Recipe",
    "RemoteProtocolError",
    "SecureConnection",
    "SessionCache",
    "TLSEvidence",
    "UpgradeError",
    "UpgradeRefused",
    "Verification",
    "VerificationError",
    "__version__",
    "blocking",
    "connect",
    "errors",
    "pop3",
    "recipe",
    "serve_protocol",
    "smtp",
    "testing",
    "trace",
    "tracing",
]

_HOMES: Final = {
    "connecting": ("PlainConnection", "SecureConnection", "connect"),
    "errors": (
        "CertificateError", "ConfigError", "DeadlineExceeded", "GatepostError", "HandshakeError", "LocalProtocolError",
        "ProtocolError", "RemoteProtocolError", "UpgradeError", "VerificationError",
    ),
    "serving": ("serve_protocol",),
    "net.trace": ("trace",),
    "tls.sessions": ("SessionCache",),
    "wire.recipes.recipe": ("Recipe", "UpgradeRefused"),
    "wire.recipes.table": ("RECIPES", "recipe"),
    "wire.upgrade": ("Origin", "PlaintextAfterUpgrade", "TLSEvidence", "Verification"),
}  # fmt: skip
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}
_PACKAGES: Final = ("blocking", "errors", "pop3", "smtp", "testing", "tracing")


def __getattr__(name: str) -> Any:  # PEP 562
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
