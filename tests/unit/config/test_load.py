"""Loading: files, merging, and every problem at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.config.load import load, load_with_sources, path_keys, reload
from gatepost.config.schema import Config
from gatepost.errors import ConfigError


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _problems(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [problem.removeprefix(str(file)) for problem in caught.value.problems]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of the machine that runs the tests is found."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr("gatepost.config.files.SYSTEM", tmp_path / "etc" / "gatepost.toml")


def test_defaults_serve_this_machine_alone() -> None:
    """Without any file everything has a value, and only loopback is listened on."""
    config = load()
    assert config.source is None
    assert [listener.name for listener in config.listener] == ["mx", "submission", "submissions", "pop3", "pop3s"]
    assert all(bind.startswith(("127.0.0.1:", "[::1]:")) for each in config.listener for bind in each.bind)
    assert "localhost" in config.domains and config.hostname in config.domains
    assert config.tls.minimum == "TLSv1.2"
    assert config.limits.exempt.matches("127.0.0.1") and not config.limits.exempt.matches("127.0.0.2")


def test_search_prefers_the_named_file_then_the_local_one(tmp_path: Path) -> None:
    """--config, then ./gatepost.toml, then the system's."""
    named = _write(tmp_path / "named.toml", 'hostname = "named.example"')
    _write(tmp_path / "etc" / "gatepost.toml", 'hostname = "system.example"')
    assert load().hostname == "system.example"
    _write(Path("gatepost.toml"), 'hostname = "local.example"')
    assert load().hostname == "local.example"
    assert load(named).hostname == "named.example"


def test_conf_d_beside_the_main_file_is_merged(tmp_path: Path) -> None:
    """Tables join, listeners add up, later files win; a hidden file is none."""
    main = _write(
        tmp_path / "main.toml",
        'hostname = "a.example"\n[limits]\nerrors = 3\n'
        '[[listener]]\nname = "one"\nprotocol = "smtp"\nbind = "127.0.0.1:25"\n',
    )
    _write(
        tmp_path / "conf.d" / "10.toml",
        'hostname = "b.example"\n[limits]\nrecipients = 200\n'
        '[[listener]]\nname = "two"\nprotocol = "lmtp"\nbind = "127.0.0.1:24"\n',
    )
    _write(tmp_path / "conf.d" / "20.toml", 'hostname = "c.example"')
    _write(tmp_path / "conf.d" / ".hidden.toml", 'hostname = "hidden.example"')
    config, sources = load_with_sources(main)
    assert config.hostname == "c.example"
    assert (config.limits.errors, config.limits.recipients) == (3, 200)
    assert [listener.name for listener in config.listener] == ["one", "two"]
    assert [file.name for file in sources.files] == ["main.toml", "10.toml", "20.toml"]


def test_every_problem_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    """Unknown keys, wrong types, wrong words and impossible combinations come together, in the order of the file."""
    file = _write(
        tmp_path / "bad.toml",
        "\n".join(
            [
                'hostnam = "mx.example.org"',
                'workers = "3"',
                'log = "josn"',
                "[tls]",
                'key = "key.pem"',
                "[[listener]]",
                'name = "mx"',
                'protocol = "submision"',
                'bind = ["0.0.0.0:25",',
                '  "::25"]',
                "[limits]",
                'exempt = "10.0.0.1/8"',
                "lifetime = 5",
                'handshake_timeout = "soon"',
                "worker = 3",
            ]
        ),
    )
    assert _problems(file) == [
        ":1: hostnam: unknown key; did you mean hostname?",
        ":2: workers: must be a whole number",
        ":3: log: must be one of 'text' or 'json'; did you mean json?",
        ":5: tls.key: a key without a certificate; set tls.certificate too",
        ":8: listener[0].protocol: must be one of 'smtp', 'submission', 'lmtp' or 'pop3'; did you mean submission?",
        (
            ':10: listener[0].bind[1]: "::25" needs brackets around its IPv6 address; '
            'write "address:port", an IPv6 address as "[address]:port"'
        ),
        ':12: limits.exempt: "10.0.0.1/8" has bits behind its prefix; did you mean 10.0.0.0/8?',
        ":13: limits.lifetime: unknown key; did you mean delivery.lifetime?",
        ':14: limits.handshake_timeout: "soon" is not a duration; write seconds, or text such as "30m" or "5d"',
        ":15: limits.worker: unknown key; did you mean workers at the top of the file, before any table?",
    ]


def test_problem_in_conf_d_names_that_file(tmp_path: Path) -> None:
    """The second listener of the whole is the first of its own file: file and line are its own."""
    main = _write(tmp_path / "m.toml", '[[listener]]\nname = "mx"\nprotocol = "smtp"\nbind = "127.0.0.1:25"\n')
    part = _write(
        tmp_path / "conf.d" / "p.toml", '\n[[listener]]\nname = "mx"\nprotocol = "lmtp"\nbind = "127.0.0.1:24"\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(main)
    assert caught.value.problems == (f'{part}:3: listener[1].name: a second listener with the name "mx"',)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[[listener]]\nname="a"\nprotocol="smtp"\nbind="127.0.0.1:1"\ntls="implicit"\nstarttls="deny"',
            "cannot deny TLS",
        ),
        (
            '[[listener]]\nname="a"\nprotocol="submission"\nbind="127.0.0.1:1"\nstarttls="deny"',
            "could never take a login",
        ),
        ('domains = ["a.example"]\n[reflector]\naddress = "ping@b.example"', "is in none of `domains`"),
        ('[reflector]\naddress = "ping"', "is not an address"),
        ('[[listener]]\nname="a"\nprotocol="smtp"\nbind=["127.0.0.1:1","127.0.0.1:1"]', "bound twice"),
        ('[[listener]]\nname="a"\nprotocol="smtp"\nbind=["127.0.0.1:1","0.0.0.0:1"]', "bound twice"),
        (
            '[metrics]\nbind="127.0.0.1:2525"\n[[listener]]\nname="a"\nprotocol="smtp"\nbind="0.0.0.0:2525"',
            "bound twice",
        ),
        ('[delivery]\nsmarthost="h:25"\nsmarthost_user="u"', "set delivery.smarthost_password_file"),
        ('[delivery]\nsmarthost="h:25"\nsmarthost_password_file="p"', "set delivery.smarthost_user"),
        ('[delivery]\nsmarthost_user="u"\nsmarthost_password_file="p"', "set delivery.smarthost"),
        (
            '[delivery]\nsmarthost="h:25"\nsmarthost_user="u"\nsmarthost_password_file="p"\ntls_level="none"',
            "in the clear",
        ),
        ('[delivery]\nsmarthost="h:465"\nsmarthost_tls="implicit"\ntls_level="none"', 'cannot be "none"'),
        ('[delivery]\nsmarthost_tls="implicit"', "no smarthost"),
        ('[delivery]\nretry_first="5h"', "longer than delivery.retry_max"),
        ('[tls]\nminimum="TLSv1.3"\nmaximum="TLSv1.2"', "older than"),
        ('[tls]\nminimum="TLSv1.3"\nciphers="HIGH"', "set tls.suites"),
        ('[tls]\nmaximum="TLSv1.2"\nsuites="TLS_AES_128_GCM_SHA256"', "set tls.ciphers"),
        ('domains=["a.example","A.example"]', "stands twice"),
        ("listener = []", "at least 1"),
        ('[aliases]\n"a b" = "c"', "not the local part"),
        ("[aliases]\na = []", "at least 1"),
        ("workers = -1", "at least 0"),
        ("workers = 1.5", "whole number"),
        ('[delivery]\nhold = "yes"', "true or false"),
        ("tls = 3", "must be a table"),
        ('[[listener]]\nname = "Mx 1"\nprotocol="smtp"\nbind="127.0.0.1:1"', "not allowed"),
        ('[[listener]]\nname = "a"\nprotocol="smtp"', "is missing"),
        ('[limits]\nexempt = ["!10.0.0.1"]', "exclusions only"),
        ('user = "root; rm"', "not allowed"),
    ],
)
def test_refuses_what_cannot_be_meant(tmp_path: Path, text: str, says: str) -> None:
    """Each impossible value or combination is refused by a problem that says why."""
    assert any(says in problem for problem in _problems(_write(tmp_path / "c.toml", text)))


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"a = ", ":1: not TOML"),
        (b'a = 1\nb = "open', "not TOML"),
        (b'a = 1\n\nb = "\xff"', ":3: is not UTF-8"),
        (b"[" * 5000, "not TOML"),
    ],
)
def test_refuses_what_is_not_toml(tmp_path: Path, octets: bytes, says: str) -> None:
    """A file that cannot be parsed is refused with the line where parsing ended."""
    file = tmp_path / "broken.toml"
    file.write_bytes(octets)
    assert any(says in problem for problem in _problems(file))


def test_refuses_a_named_file_that_is_missing_or_unreadable(tmp_path: Path) -> None:
    """The built-in defaults never stand in for a file that was asked for."""
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    """Wherever the server is started from, server.pem is the one beside the file."""
    main = _write(tmp_path / "a" / "m.toml", 'data = "state"\n[tls]\ncertificate = "server.pem"\n')
    _write(tmp_path / "a" / "conf.d" / "x.toml", '[delivery]\nca_file = "../ca.pem"\n')
    config = load(Path(os.path.relpath(main)))
    assert config.data == tmp_path / "a" / "state"
    assert config.tls.certificate == tmp_path / "a" / "server.pem"
    assert config.delivery.ca_file is not None
    assert config.delivery.ca_file.resolve() == tmp_path / "a" / "ca.pem"


def test_every_path_of_the_schema_is_made_absolute() -> None:
    """The list of path keys follows the schema by itself."""
    assert {".".join(map(str, key)) for key in path_keys()} == {
        "data", "run_directory", "tls.certificate", "tls.key", "tls.ca_file", "tls.client_ca",
        "tls.client_crl",
        "delivery.ca_file", "delivery.smarthost_password_file", "certificate.file", "certificate.key",
        "outbound.ca", "outbound.crl", "outbound.client_certificate",
        "greylist.country_database", "backend.ca", "backend.client_certificate", "record.directory",
    }  # fmt: skip


def test_certificates_beside_the_first_are_read_from_every_file(tmp_path: Path) -> None:
    """The tables of a list are continued, each path is relative to its own file, and none is named twice."""
    main = _write(tmp_path / "m.toml", '[tls]\ncertificate = "a.pem"\n[[certificate]]\nfile = "b.pem"\n')
    _write(tmp_path / "conf.d" / "x.toml", '[[certificate]]\nfile = "../c.pem"\nkey = "c.key"\n')
    config = load(main)
    assert [(each.file, each.key) for each in config.certificate] == [
        (tmp_path / "b.pem", None),
        (tmp_path / "conf.d" / "../c.pem", tmp_path / "conf.d" / "c.key"),
    ]
    _write(
        tmp_path / "conf.d" / "x.toml", '[[certificate]]\nfile = "../m/../b.pem"\n[[certificate]]\nfile = "../a.pem"\n'
    )
    _write(main, f'[tls]\ncertificate = "{tmp_path}/conf.d/../a.pem"\n')
    with pytest.raises(ConfigError) as caught:
        load(main)
    assert len(caught.value.problems) == 1
    assert "certificate[1].file" in caught.value.problems[0] and "named twice" in caught.value.problems[0]


def test_data_given_apart_wins_and_is_kept_on_reload(tmp_path: Path) -> None:
    """``serve --data`` is not forgotten when the file is read again."""
    file = _write(tmp_path / "m.toml", 'data = "from-file"\nlog = "text"\n')
    config = load(file, data=tmp_path / "given")
    _write(file, 'data = "from-file"\nlog = "json"\n')
    again = reload(config)
    assert again.data == tmp_path / "given"
    assert again.log == "json"
    assert again.source == file


def test_alias_may_be_the_rest_of_a_domain(tmp_path: Path) -> None:
    """``@domain`` is a name of an alias; as a target it would say nothing."""
    config = load(_write(tmp_path / "m.toml", '[aliases]\n"@Example.org" = "ann"\n'))
    assert config.aliases == {"@example.org": ("ann",)}
    for wrong in ('"@a..b" = "ann"', '"@" = "ann"', 'ann = "@example.org"'):
        with pytest.raises(ConfigError):
            load(_write(tmp_path / "m.toml", f"[aliases]\n{wrong}\n"))


@pytest.mark.parametrize("name", ["local", "metrics"])
def test_names_of_built_in_listeners_are_taken(tmp_path: Path, name: str) -> None:
    """A listener of the file that was called so would be taken for the built-in one."""
    text = f'[[listener]]\nname = "{name}"\nprotocol = "smtp"\nbind = "127.0.0.1:0"\n'
    with pytest.raises(ConfigError) as caught:
        load(_write(tmp_path / "m.toml", text))
    assert f'"{name}" is the name of' in caught.value.message


def test_local_sockets_have_a_public_place_on_the_system_alone(tmp_path: Path) -> None:
    """The system's server is found in /run by every program; others keep their sockets with their data."""
    assert Config(data=Path("/var/lib/gatepost")).runtime == Path("/run/gatepost")
    assert Config(data=tmp_path).runtime == tmp_path
    assert Config(data=Path("/var/lib/gatepost"), run_directory=tmp_path).runtime == tmp_path


def test_data_default_follows_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's state is the system's; anybody else's is below the XDG state folder."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert load().data == Path("/var/lib/gatepost")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert load().data == tmp_path / "gatepost"
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load().data == Path("/home/somebody/.local/state/gatepost")


def test_model_refuses_impossible_combinations_without_a_file() -> None:
    """The model itself checks them, whoever constructs it."""
    with pytest.raises(ValueError, match="a key without a certificate"):
        Config.model_validate({"tls": {"key": "/k.pem"}})


def test_configuration_cannot_be_changed() -> None:
    """Workers share it; nobody can alter it in place."""
    with pytest.raises(ValueError, match="frozen"):
        Config().log = "json"


def test_single_mistakes_are_told_in_the_words_of_a_file(tmp_path: Path) -> None:
    """A wrong hostname alone, single brackets around a listener, a size that is none."""
    assert _problems(_write(tmp_path / "a.toml", "hostname = 5\n")) == [":1: hostname: must be text in quotes"]
    (brackets,) = _problems(_write(tmp_path / "b.toml", '[listener]\nname = "x"\n'))
    assert "[[listener]]" in brackets
    (size,) = _problems(_write(tmp_path / "c.toml", '[limits]\nmessage_size = "lots"\n'))
    assert '"lots"' in size
    assert load(_write(tmp_path / "d.toml", 'domains = "example.org"\n')).domains == ("example.org",)
