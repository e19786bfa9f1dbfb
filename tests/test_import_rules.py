"""The floors of the house: who may import what. See docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "gatepost"

# From the ground up: a floor imports only from floors below it, and from itself.
FLOORS = (
    "errors", "wire", "tls", "queue", "policy", "greylist", "config", "net", "certs", "observe", "record", "store",
    "accounts",
    "mailbox", "smtp", "pop3", "delivery", "service", "serve", "cli",
)  # fmt: skip
# What the library for programs is built from: importing it brings no part of a server (see test_public.py).
LIBRARY = {"errors", "wire", "tls", "net"}
# Beside the house, and where less may be used than lies below: what may be used from each of these is named.
BESIDE = {
    "smtp": LIBRARY,
    "pop3": LIBRARY,
    "connecting": LIBRARY,
    "blocking": LIBRARY,
    "serving": {*LIBRARY, "connecting"},
    "sendmail": {"errors", "wire"},
    "testing": set(FLOORS),
    "tracing": {*LIBRARY, "observe"},
    "cli": {*FLOORS, "sendmail", "connecting"},
    "__main__": {"cli"},
    "__init__": {*LIBRARY, "blocking", "connecting", "pop3", "serving", "smtp", "testing", "tracing"},
    "_version": {"_version"},
}
EVERYWHERE = {"_version", "errors"}

# Pure floors: bytes in, values out. No sockets, no clock, no files, no randomness.
PURE = ("wire", "policy", "greylist", "queue")
IMPURE = {
    "asyncio", "datetime", "OpenSSL", "os", "pathlib", "random", "secrets", "select", "selectors", "shutil", "signal",
    "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time",
}  # fmt: skip

# Nothing outside ``wire.upgrade`` constructs evidence, and only ``tls.evidence`` asks it to.
MINT = "_mint_evidence"
MAY_MINT = {"wire/upgrade.py", "tls/evidence.py"}

# TLS that is not ours goes through a gate by one door (``pass_upgrade``), and octets that nobody reads by one splice.
MAY_PASS = {
    "pass_upgrade": {"service/gate/passing.py"},
    "pass_on": {"service/gate/passing.py"},
    "splice": {"service/gate/opaque.py"},
}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def floor_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Each import as (module, name, line); the name is empty for ``import module``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield node.module or "", alias.name, node.lineno


def parametrize_modules() -> pytest.MarkDecorator:
    paths = modules()
    return pytest.mark.parametrize("path", paths, ids=[str(path.relative_to(SOURCE)) for path in paths])


@parametrize_modules()
def test_floor_imports_only_from_below(path: Path) -> None:
    """A module uses its own floor and those below it."""
    own = floor_of(path)
    allowed = BESIDE.get(own) or set(FLOORS[: FLOORS.index(own) + 1])
    for module, name, line in imports(path):
        parts = module.split(".")
        if parts[0] != "gatepost":
            continue
        used = parts[1] if len(parts) > 1 else name
        assert used in allowed | EVERYWHERE | {own, ""}, f"{path}:{line}: {own} may not import {used}"


def test_pure_floors_do_no_io() -> None:
    """The engines and the queue's rules know no socket, clock, file or chance."""
    for path in modules():
        if floor_of(path) in PURE:
            for module, _, line in imports(path):
                assert module.split(".")[0] not in IMPURE, f"{path}:{line}: {module} in a pure floor"


@parametrize_modules()
def test_private_names_stay_in_their_package(path: Path) -> None:
    """A name that begins with an underscore is not imported from another package; the mint has one caller."""
    place = path.relative_to(SOURCE)
    for module, name, line in imports(path):
        if not module.startswith("gatepost") or not name.startswith("_") or name.startswith("__"):
            continue
        if name == MINT:
            assert str(place) in MAY_MINT, f"{path}:{line}: evidence is minted by tls.evidence alone"
            continue
        home = module.split(".")[1:-1] or module.split(".")[1:]
        assert list(place.parts[: len(home)]) == home or name == "_version", (
            f"{path}:{line}: {module}.{name} is private"
        )


@parametrize_modules()
def test_evidence_is_constructed_by_its_mint_alone(path: Path) -> None:
    """No module but wire.upgrade calls the constructors that are closed."""
    if str(path.relative_to(SOURCE)) == "wire/upgrade.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"TLSEvidence", "UpgradeReady", "EarlyHello", "PassReady"}, (
                f"{path}:{node.lineno}"
            )


@parametrize_modules()
def test_what_nobody_reads_goes_through_few_doors(path: Path) -> None:
    """The modules of the gate that let octets through unread are named; no other one can."""
    place = str(path.relative_to(SOURCE))
    for module, name, line in imports(path):
        if module in ("gatepost.wire.upgrade", "gatepost.net.splice") and name in MAY_PASS:
            assert place in MAY_PASS[name], f"{path}:{line}: {name} is not for {place}"
        assert (module, name) != ("gatepost.net", "splice"), f"{path}:{line}: import from the module"


def test_event_loop_upgrades_are_not_used() -> None:
    """`start_tls` of asyncio and its streams carry plaintext across in CPython 3.11 to 3.13: they appear nowhere."""
    banned = {"StreamReader", "StreamWriter", "open_connection", "start_server"}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                assert node.attr not in banned, f"{path}:{node.lineno}: {node.attr}"
                if node.attr == "start_tls":
                    owner = ast.unparse(node.value)
                    assert not owner.endswith(("loop", "writer", "smtp", "asyncio")), f"{path}:{node.lineno}: {owner}"


def test_files_have_one_idea_each() -> None:
    """No file has more than 600 lines."""
    long = {str(path): count for path in modules() if (count := len(path.read_text().splitlines())) > 600}
    assert long == {}
