"""DMail: each of its settings, as its documents have it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.config.importers.conftest import Accept, Imported

from gatepost.config.importers.dmail import from_dmail
from gatepost.testing.ca import TestAuthority, key_for

ROOT = TestAuthority("old root")


def _import(directory: Path, accept: Accept, text: str) -> Imported:
    file = directory / "dmail.conf"
    file.write_text(text)
    return accept(from_dmail(file))


def test_show_and_require_tls_decide_by_address(tmp_path: Path, accept: Accept) -> None:
    """On no list: not offered; on both or on require_tls alone: required, and the contradiction is named."""
    done = _import(tmp_path, accept, "show_tls 127.0.0.1,10.0.0.*\nrequire_tls 10.0.0.9, 10.1.*\n")
    wanted = {"127.0.0.1": "offer", "10.0.0.8": "offer", "10.0.0.9": "require", "10.1.2.3": "require"}
    for address, starttls in {**wanted, "192.0.2.1": "deny", "2001:db8::1": "deny"}.items():
        assert done.inbound(address).starttls == starttls, address
    assert done.noticed("dmail.conf:2", "require_tls has 10.1.*.*, show_tls has not")
    assert not done.noticed("require_tls has 10.0.0.9")


def test_no_list_offers_tls_to_nobody_and_says_so(tmp_path: Path, accept: Accept) -> None:
    """As in DMail, where TLS was off until somebody was on a list."""
    done = _import(tmp_path, accept, "host_domain example.org\n")
    assert done.inbound("127.0.0.1").starttls == "deny" and done.noticed("there is no show_tls")


def test_require_tls_out_with_its_exceptions(tmp_path: Path, accept: Accept) -> None:
    """By the server's address: TLS or nothing; everywhere else where it is offered."""
    done = _import(tmp_path, accept, "require_tls_out 10.0.0.*,192.0.2.7\nrequire_tls_except 10.0.0.3\n")
    levels = {"10.0.0.1": "encrypt", "192.0.2.7": "encrypt", "10.0.0.3": "may", "192.0.2.8": "may"}
    for address, level in levels.items():
        assert done.outbound("a.example", "mx.a.example", address).level == level, address


def test_exceptions_without_a_rule_are_named(tmp_path: Path, accept: Accept) -> None:
    """They decide nothing, and stand there as a comment."""
    done = _import(tmp_path, accept, "require_tls_except 10.0.0.3\n")
    assert "# dmail.conf:1: require_tls_except excepts from nothing" in done.text


def test_names_addresses_and_relays(tmp_path: Path, accept: Accept) -> None:
    """Domains, virtual domains, name servers, who may send on."""
    text = "host_domain Example.org\nvdomain b.example 10.0.0.1 b_\ndns_host 127.0.0.1\nforward_from_ip 10.0.0.*\n"
    done = _import(tmp_path, accept, text)
    assert done.config.domains == ("example.org", "b.example") and done.config.delivery.resolver == ("127.0.0.1",)
    assert done.relays("10.0.0.200") and not done.relays("127.0.0.1")
    assert done.noticed("dmail.conf:2", "vdomain")


@pytest.mark.parametrize("directory", ["", "work"])
@pytest.mark.parametrize("key_first", [True, False])
def test_server_pem_is_found_in_the_work_directory(
    tmp_path: Path, accept: Accept, directory: str, *, key_first: bool
) -> None:
    """Key first or last; Windows's slashes are no hindrance."""
    folder = tmp_path / directory
    folder.mkdir(exist_ok=True)
    file = ROOT.issue("mx.example").write(folder / "server.pem", key_first=key_first)
    done = _import(tmp_path, accept, "work_path .\\work\n" if directory else "")
    assert done.config.tls.certificate == file


def test_weak_sample_certificate_is_named_with_the_way_out(tmp_path: Path, accept: Accept) -> None:
    """DMail came with RSA-1024."""
    ROOT.issue("mx.example", key=key_for("a small key", "rsa1024")).write(tmp_path / "server.pem")
    done = _import(tmp_path, accept, "")
    assert done.config.tls.certificate is None
    assert done.noticed("RSA of 1024 bits", "gatepost cert new") and "# certificate = " in done.text


def test_pop_lists_decide_on_a_listener_of_their_own(tmp_path: Path, accept: Accept) -> None:
    """dpop_allow_ssl and dpop_require_ssl say nothing about SMTP."""
    done = _import(tmp_path, accept, "dpop_allow_ssl 10.0.0.*\ndpop_require_ssl 10.0.0.9\n")
    wanted = {"10.0.0.1": "offer", "10.0.0.9": "require", "192.0.2.1": "deny"}
    assert {address: done.inbound(address, "pop3").starttls for address in wanted} == wanted
    assert done.inbound("10.0.0.1").starttls == "deny" and done.noticed("cannot log in any more")


def test_no_pop_lists_make_no_listener_for_pop(tmp_path: Path, accept: Accept) -> None:
    """Whether DMail served POP, its configuration does not say."""
    assert [each.name for each in _import(tmp_path, accept, "").config.listener] == ["mx"]


def test_unknown_and_useless_settings_are_named_with_their_lines(tmp_path: Path, accept: Accept) -> None:
    """Also those of an included file; files that cannot be read, or include each other, are named too."""
    (tmp_path / "more.conf").write_text("\nmystery 1\n#include dmail.conf\n")
    done = _import(tmp_path, accept, "log_path = c:\\log\n#include more.conf\n#include none.conf\nshow_tls 10.0.0.x\n")
    assert done.noticed("dmail.conf:1", "log_path is not taken over") and done.noticed("more.conf:2", "mystery")
    assert done.noticed("dmail.conf:3", "none.conf") and done.noticed("include each other")
    assert done.noticed("dmail.conf:4", "10.0.0.x")
