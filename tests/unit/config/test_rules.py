"""The tables of rules: what they may say, and what they become."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.config.lists import ListFiles
from gatepost.config.load import load
from gatepost.config.policies import ground_of, inbound_policy, outbound_policy, relay_policy
from gatepost.config.schema import Config
from gatepost.errors import ConfigError
from gatepost.policy.outbound import Facts


def _load(folder: Path, text: str) -> Config:
    (folder / "g.toml").write_text(text)
    return load(folder / "g.toml")


def _problem(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(folder, text)
    (problem,) = caught.value.problems
    return problem.removeprefix(f"{folder}/")


PIN = "ab" * 32


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[inbound]]\nfrom = ["10.0.0.1"]', "g.toml:1: inbound[0]: this rule decides nothing; set starttls"),
        ('[[inbound]]\nstarttls = "maybe"', "starttls: must be one of"),
        ('[[inbound]]\nstarttls = "deny"\nfrom = ["10.0.0.300"]', "from: \"10.0.0.300\" is not an address list entry"),
        ('[[inbound]]\nstarttls = "deny"\nfrom = ["!10.0.0.3"]', "exclusions only"),
        ('[[inbound]]\nstarttls = "deny"\nfrom = []', "must have at least 1 entry"),
        ('[[inbound]]\nstarttls = "deny"\nfrom = ["file:"]', "names no file"),
        ('[[inbound]]\nstarttls = "deny"\nlisteners = ["imap"]', 'there is no listener "imap"; known here: mx'),
        ('[[inbound]]\nstarttls = "deny"\nlisteners = ["submision"]', "did you mean submission?"),
        ('[[inbound]]\nminimum = "TLSv1.3"\nmaximum = "TLSv1.2"', "is older than this rule's minimum"),
        ('[[inbound]]\nminimum = "TLSv1.3"\nciphers = "ECDHE"', "ciphers are for TLS 1.2"),
        ('[[inbound]]\nmaximum = "TLSv1.2"\nsuites = "X"', "suites are for TLS 1.3"),
        ('[[inbound]]\nclient_certificate = "no"', "client_certificate: must be one of"),
        ('[[inbound]]\nclient_certificate = "require"', "no certificate would do: set tls.client_ca"),
        ('[tls]\nclient_certificate = "require"', "tls.client_certificate: no certificate would do"),
        ('[tls]\nclient_crl = "crl.pem"', "revokes certificates of no authority; set tls.client_ca"),
        ('[tls]\ntickets = 3', "tls.tickets: must be at most 2"),
        ('[tls]\ntickets = true', "tls.tickets: must be a whole number"),
        ('[[inbound]]\nform = ["10.0.0.1"]\nstarttls = "deny"', "form: unknown key; did you mean from?"),
        ('[[outbound]]\nto = ["example.com"]', "this rule decides nothing; set level"),
        ('[[outbound]]\nlevel = "dane"', '"dane" needs signed DNS'),
        ('[[outbound]]\nlevel = "dane-only"', '"dane-only" needs signed DNS'),
        ('[[outbound]]\nlevel = "verify"\nto = ["*.example.com"]', "write .example.com"),
        ('[[outbound]]\nlevel = "verify"\nto = ["a b"]', "is not a domain name"),
        ('[[outbound]]\nlevel = "verify"\nexcept = ["10.0.0.300"]', "is not an address list entry"),
        ('[[outbound]]\nlevel = "fingerprint"', "needs fingerprints"),
        ('[[outbound]]\nlevel = "fingerprint"\nfingerprints = ["ab"]', "is not a SHA-256 in 64 hexadecimal digits"),
        (f'[[outbound]]\nlevel = "verify"\nfingerprints = ["{PIN}"]', 'are looked at with level = "fingerprint" only'),
        ('[[outbound]]\nlevel = "encrypt"\nnames = ["a.example"]', "are not looked at"),
        ('[[outbound]]\nlevel = "may"\nca = "a.pem"', "decides nothing with level"),
        ('[[outbound]]\nlevel = "verify"\nnames = ["*"]', "proves nothing"),
        ('[[outbound]]\nlevel = "none"\nimplicit = true', "TLS from the first byte"),
        ('[[outbound]]\nport = 0', "port: must be at least 1"),
        ('[[relay]]\nlisteners = ["mx"]', "would let everybody relay"),
        ('[[relay]]\nfrom = ["*"]', "lets the whole Internet relay"),
        ('[[relay]]\nfrom = ["0.0.0.0/1", "128.0.0.0/1"]', "lets the whole Internet relay"),
        ('[[relay]]\nfrom = ["10.0.0.1"]\nlisteners = ["submission"]', "a login decides"),
        ('[[relay]]\ncertificate_email = ["a@example.org"]', "set tls.client_ca to the authority that is believed"),
        ('[tls]\nclient_ca = "c"\n[[relay]]\ncertificate_email = "alice"', '"alice" is not a mail address'),
        ('[tls]\nclient_ca = "c"\n[[relay]]\nfrom = "10.0.0.1"\ncertificate_email = []', "must have at least 1 entry"),
        ('[[relay]]\ncertificate_fingerprint = "ab"', "is not a SHA-256 in 64 hexadecimal digits"),
        (f'[[relay]]\ncertificate_fingerprint = "{PIN}"\nlisteners = ["submission"]', "a login decides"),
        ('[delivery]\ntls_only_listed = true\ntls_level = "verify"', "which tls_level forbids"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused(tmp_path: Path, text: str, words: str) -> None:
    """At load, in one line with its place."""
    assert words in _problem(tmp_path, text)


def test_rules_keep_what_they_say(tmp_path: Path) -> None:
    """Keys that Python has no names for are written and shown as they are."""
    config = _load(
        tmp_path,
        '[[inbound]]\nfrom = "10.0.0.1"\nexcept = "10.0.0.2"\nstarttls = "deny"\n'
        f'[[outbound]]\nserver = "10.0.0.*"\nexcept = ["10.0.0.9", "A.example"]\nfingerprints = "{PIN.upper()}"\n'
        'level = "fingerprint"\n',
    )
    shown = config.model_dump(mode="json", exclude_none=True)
    assert shown["inbound"] == [{"from": ["10.0.0.1"], "except": ["10.0.0.2"], "starttls": "deny"}]
    assert shown["outbound"][0]["fingerprints"] == [PIN]
    assert shown["outbound"][0]["except"] == ["10.0.0.9", "a.example"]


def test_paths_of_rules_are_beside_their_file(tmp_path: Path) -> None:
    """CA files, client certificates and list files, in each file of the configuration."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text(
        '[[inbound]]\nfrom = ["!file:b.txt", "file:c.txt"]\nstarttls = "deny"\n'
    )
    config = _load(
        tmp_path,
        '[[outbound]]\nlevel = "verify"\nca = "ca.pem"\nclient_certificate = "me.pem"\nserver = "file:s.txt"\n'
        '[[inbound]]\nfrom = ["file:/a.txt", "10.0.0.1"]\nstarttls = "deny"\n',
    )
    (rule,) = config.outbound
    assert (rule.ca, rule.client_certificate) == (tmp_path / "ca.pem", tmp_path / "me.pem")
    assert rule.server == (f"file:{tmp_path}/s.txt",)
    assert [each.addresses for each in config.inbound] == [
        ("file:/a.txt", "10.0.0.1"), (f"!file:{tmp_path}/conf.d/b.txt", f"file:{tmp_path}/conf.d/c.txt"),
    ]  # fmt: skip


def test_sources_of_rules_are_file_and_line(tmp_path: Path) -> None:
    """What a log line and an explanation name."""
    config = _load(
        tmp_path, '[[relay]]\nfrom = "10.0.0.1"\n[[outbound]]\nlevel = "may"\n[[inbound]]\nstarttls = "deny"\n'
    )
    files = ListFiles()
    assert str(inbound_policy(config, files).rules[0].source) == f"inbound[0] ({tmp_path}/g.toml:5)"
    assert str(outbound_policy(config, files).rules[0].source) == f"outbound[0] ({tmp_path}/g.toml:3)"
    assert str(relay_policy(config, files).rules[0].source) == f"relay[0] ({tmp_path}/g.toml:1)"


def test_names_and_addresses_may_be_excepted_together(tmp_path: Path) -> None:
    """``except`` of an outbound rule takes both, and files of addresses."""
    (tmp_path / "x.txt").write_text("10.0.0.8\n")
    config = _load(
        tmp_path,
        '[[outbound]]\nlevel = "encrypt"\nexcept = ["10.0.0.9", ".friend.example", "file:x.txt", "2001:db8::/32"]\n',
    )
    policy = outbound_policy(config, ListFiles())

    def level(destination: str, address: str) -> str:
        return policy.decide(Facts(destination, "mx.a.example", address)).level

    assert level("a.example", "10.0.0.1") == "encrypt"
    for destination, address in (
        ("a.example", "10.0.0.9"), ("a.example", "10.0.0.8"), ("a.example", "2001:db8::1"),
        ("b.friend.example", "10.0.0.1"),
    ):  # fmt: skip
        assert level(destination, address) == "may"


def test_names_beyond_ascii_are_those_that_the_mail_has(tmp_path: Path) -> None:
    """Written as people write them, compared as DNS has them."""
    config = _load(tmp_path, '[[outbound]]\nto = ["bücher.example", ".BÜCHER.example"]\nlevel = "encrypt"\n')
    policy = outbound_policy(config, ListFiles())
    for destination in ("xn--bcher-kva.example", "mail.xn--bcher-kva.example"):
        assert policy.decide(Facts(destination)).level == "encrypt"


def test_lists_of_files_make_one_list(tmp_path: Path) -> None:
    """Included and excluded; a comment is none; an empty file is nobody."""
    (tmp_path / "in.txt").write_text("10.0.0.0/24 # here\n\n  192.0.2.1\n")
    (tmp_path / "out.txt").write_text("10.0.0.7\n")
    (tmp_path / "empty.txt").write_text("# nobody\n")
    files = ListFiles()
    assert not files
    found = files.addresses([f"file:{tmp_path}/in.txt", f"!file:{tmp_path}/out.txt"])
    assert files
    assert [found.matches(each) for each in ("10.0.0.1", "192.0.2.1", "10.0.0.7")] == [True, True, False]
    assert not files.addresses([f"file:{tmp_path}/empty.txt"]).matches("10.0.0.1")
    assert not files.addresses([f"file:{tmp_path}/empty.txt", f"!file:{tmp_path}/out.txt"]).matches("10.0.0.1")
    with pytest.raises(ConfigError, match=r"gone\.txt: the list cannot be read"):
        files.addresses([f"file:{tmp_path}/gone.txt"])


def test_change_of_a_list_is_seen_once(tmp_path: Path) -> None:
    """New entries once, a new mistake once."""
    path = tmp_path / "a.txt"
    path.write_text("10.0.0.1\n")
    files = ListFiles()
    files.addresses([f"file:{path}"])
    assert files.refresh() == ([], [])
    path.write_text("10.0.0.2\n10.0.0.3\n")
    assert files.refresh() == ([str(path)], [])
    path.write_text("nonsense\n")
    changed, (problem,) = files.refresh()
    assert changed == [] and problem.message.startswith(f'{path}:1: "nonsense"')
    assert files.refresh() == ([], [])
    assert files.addresses([f"file:{path}"]).matches("10.0.0.3")


def test_relay_rules_by_certificate_keep_what_they_say(tmp_path: Path) -> None:
    """Addresses in the form that is compared, fingerprints without colons; `from` may be left out, or be everybody."""
    (tmp_path / "g.toml").write_text(
        '[tls]\nclient_ca = "ca.pem"\nclient_crl = "crl.pem"\ntickets = 0\nclient_certificate = "require"\n'
        '[[relay]]\ncertificate_email = "Ann@EXAMPLE.org"\n'
        f'[[relay]]\nfrom = "*"\ncertificate_fingerprint = ["{PIN.upper()}", "sha256:{":".join([PIN[:2]] * 32)}"]\n'
    )
    config = load(tmp_path / "g.toml")
    assert (config.tls.client_ca, config.tls.client_crl) == (tmp_path / "ca.pem", tmp_path / "crl.pem")
    assert (config.tls.tickets, config.tls.client_certificate) == (0, "require")
    assert config.relay[0].certificate_email == ("Ann@example.org",)
    assert config.relay[1].certificate_fingerprint == (PIN, PIN[:2] * 32)


ASKING = """
[tls]
client_ca = "ca.pem"
[[inbound]]
from = "10.0.0.9"
client_certificate = "none"
[[relay]]
from = "10.1.0.0/16"
[[relay]]
from = "10.0.0.0/8"
certificate_email = "ann@example.org"
"""


def _asked(config: Config, address: str, listener: int = 0) -> tuple[str, str]:
    policy = inbound_policy(config, ListFiles())
    decision = policy.decide(address, ground_of(config, config.listener[listener]))
    return decision.handshake.client_certificate, decision.decision.settings["client_certificate"].source.name


def test_clients_are_asked_where_a_certificate_could_let_them_relay(tmp_path: Path) -> None:
    """And nowhere else: not at submission, not whom a rule excepts, not who relays by its address before."""
    config = _load(tmp_path, ASKING)
    assert _asked(config, "10.0.0.1") == ("ask", "relay[1]")
    assert _asked(config, "10.0.0.9") == ("none", "inbound[0]")
    assert _asked(config, "10.1.0.1") == ("none", "relay[0]")
    assert _asked(config, "192.0.2.1") == ("none", "tls")
    assert config.listener[1].protocol == "submission"
    assert _asked(config, "10.0.0.1", 1) == ("none", "tls")
    policy = inbound_policy(config, ListFiles())
    found = policy.handshakes(ground_of(config, each) for each in config.listener)
    assert {each.client_certificate for each in found} == {"none", "ask"}


def test_relay_rules_do_not_weaken_what_is_required(tmp_path: Path) -> None:
    """``require`` for everybody stays that where a relay rule would only ask."""
    config = _load(
        tmp_path, ASKING.replace('client_ca = "ca.pem"', 'client_ca = "ca.pem"\nclient_certificate = "require"')
    )
    assert _asked(config, "10.0.0.1") == ("require", "tls")
    assert _asked(config, "10.0.0.9") == ("none", "inbound[0]")
