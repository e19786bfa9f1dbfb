"""When the supervisor loads the certificates again."""

from __future__ import annotations

from pathlib import Path

from gatepost.certs.watch import signatures
from gatepost.config.schema import Config
from gatepost.errors import CertificateError, ConfigError
from gatepost.serve.preparation import Prepared, account_of
from gatepost.serve.replacement import TICKET_KEYS_SECONDS, Replacement


def loaded(folder: Path) -> Prepared:
    """What is in force, without any file that could change."""
    config = Config(hostname="mx.example.test", data=folder)
    return Prepared(config, account_of(config))


def test_keys_of_session_tickets_live_a_week(tmp_path: Path) -> None:
    """RFC 9325 §3.4: they are made with the contexts, so those are made anew; what was loaded counts from then."""
    replacement = Replacement()
    first, second = loaded(tmp_path), loaded(tmp_path)
    assert not replacement.due(first, 1000.0)
    assert not replacement.due(first, 1000.0 + TICKET_KEYS_SECONDS - 1)
    assert replacement.due(first, 1000.0 + TICKET_KEYS_SECONDS)
    assert not replacement.due(second, 2000.0 + TICKET_KEYS_SECONDS)
    assert not replacement.due(second, 1000.0 + 2 * TICKET_KEYS_SECONDS)
    assert replacement.due(second, 2000.0 + 2 * TICKET_KEYS_SECONDS)


def test_keys_of_session_tickets_are_asked_for_again_where_loading_failed(tmp_path: Path) -> None:
    """Once an hour, not at every turn of the loop."""
    replacement = Replacement()
    prepared = loaded(tmp_path)
    assert not replacement.due(prepared, 0.0)
    asked = [second for second in range(0, 7 * 86400 + 2 * 3600, 60) if replacement.due(prepared, float(second))]
    assert asked == [7 * 86400, 7 * 86400 + 3600]


def with_file(folder: Path) -> tuple[Prepared, Path]:
    """What is in force, and its certificate's file, which has been replaced since."""
    path = folder / "cert.pem"
    path.write_bytes(b"one")
    config = Config(hostname="mx.example.test", data=folder)
    prepared = Prepared(config, account_of(config), files=signatures([path]))
    path.with_name("new").write_bytes(b"two")
    path.with_name("new").replace(path)
    return prepared, path


def test_replaced_files_are_loaded_again_at_once_when_a_worker_was_killed(tmp_path: Path) -> None:
    """Nothing is wrong with the files: the reload was cut short, and what says they were refused does not apply."""
    replacement = Replacement(poll=10.0)
    prepared, _ = with_file(tmp_path)
    assert not replacement.due(prepared, 0.0)
    assert replacement.due(prepared, 1.0)
    replacement.interrupted(2.0)
    replacement.refused(ConfigError("mx/0 of the new configuration ended at once"), 2.0)
    assert (replacement.trouble, replacement.next_at) == (None, 2.0)
    assert replacement.due(prepared, 2.0)
    replacement.accepted()
    assert replacement.trouble is None


def test_replaced_files_are_loaded_at_the_pace_of_the_looks_when_workers_are_killed_again(tmp_path: Path) -> None:
    """Workers that always die are not forked without a pause."""
    replacement = Replacement(poll=10.0)
    prepared, _ = with_file(tmp_path)
    replacement.due(prepared, 0.0)
    asked = []
    for second in range(1, 40):
        if replacement.due(prepared, float(second)):
            asked.append(second)
            replacement.interrupted(float(second))
    assert asked == [1, 2, 12, 22, 32]


def test_files_that_are_wrong_are_not_loaded_again(tmp_path: Path) -> None:
    """Only another change is a reason to, also behind a reload that was cut short."""
    replacement = Replacement(poll=10.0)
    prepared, path = with_file(tmp_path)
    replacement.due(prepared, 0.0)
    assert replacement.due(prepared, 1.0)
    replacement.interrupted(2.0)
    assert replacement.due(prepared, 2.0)
    replacement.refused(CertificateError("cert.pem: not a certificate"), 2.0)
    assert replacement.trouble is not None and replacement.trouble["files"] == [str(path)]
    assert not any(replacement.due(prepared, float(second)) for second in range(3, 3000))
