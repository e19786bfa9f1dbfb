"""What the library shows, and what importing it costs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import gatepost

SERVER_ONLY = ("pydantic", "click", "dns", "rich", "prometheus_client", "argon2", "sqlite3")
PUBLIC = {
    "RECIPES", "CertificateError", "ConfigError", "DeadlineExceeded", "GatepostError", "HandshakeError",
    "LocalProtocolError", "Origin", "PlainConnection", "PlaintextAfterUpgrade", "ProtocolError", "Recipe",
    "RemoteProtocolError", "SecureConnection", "SessionCache", "TLSEvidence", "UpgradeError", "UpgradeRefused",
    "Verification", "VerificationError", "__version__", "blocking", "connect", "errors", "pop3", "recipe",
    "serve_protocol", "smtp", "testing", "trace",
    "tracing",
}  # fmt: skip


def test_public_names_are_these() -> None:
    """A name more or less is a decision, and stands here."""
    assert set(gatepost.__all__) == PUBLIC


@pytest.mark.parametrize("module", ["gatepost", "gatepost.smtp", "gatepost.pop3", "gatepost.blocking"])
def test_every_public_name_is_there(module: str) -> None:
    """Each one loads, is listed by dir, and has a docstring where it is a class or function."""
    package = importlib.import_module(module)
    for name in package.__all__:
        value = getattr(package, name)
        assert name in dir(package)
        if callable(value):
            assert value.__doc__, f"{module}.{name}"
    with pytest.raises(AttributeError):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "use",
    [
        "import gatepost",
        "import gatepost; gatepost.connect; gatepost.blocking.connect",
        "import gatepost; gatepost.smtp.Client; gatepost.smtp.BlockingClient",
        "import gatepost; gatepost.smtp.Server; gatepost.serve_protocol",
        "import gatepost; gatepost.pop3.Client; gatepost.pop3.BlockingClient",
    ],
)
def test_library_brings_no_part_of_a_server(use: str) -> None:
    """Importing it loads none of the packages that only a server needs."""
    program = f"{use}\nimport sys\nprint(*sorted(set({SERVER_ONLY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_package_itself_imports_nothing() -> None:
    """``import gatepost`` is a few names, whatever stands behind them."""
    shown = "*sorted(name for name in sys.modules if name.startswith('gatepost')), 'OpenSSL' in sys.modules"
    program = f"import sys, gatepost; print({shown})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["gatepost", "gatepost._version", "False"]


def test_types_are_shipped() -> None:
    """PEP 561."""
    assert (Path(gatepost.__file__).parent / "py.typed").is_file()
