"""The record reader: what it sees in real handshakes, and what it makes of everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.testing.handshakes import CLIENT_ORIGIN, server_side
from gatepost.testing.tls import NAME, contexts
from gatepost.tls.contexts import ClientTLS, TLSProfile, client_context
from gatepost.tls.engine import ClientHandshake
from gatepost.tls.records import KEPT_LIMIT, RECORD_LIMIT, Alert, Fact, Foreign, Message, Record, RecordReader, Sender
from gatepost.tls.sessions import SessionCache
from gatepost.tls.stream import TLSStream
from gatepost.tls.trust import TrustStore
from gatepost.wire.upgrade import hand_over_client

Said = list[tuple[Sender, bytes]]


def handshake(maximum: str | None = None, alpn: tuple[str, ...] = ()) -> Said:
    """What both sides of a real handshake send, up to the client's goodbye."""
    context = client_context(trust=TrustStore(()), sessions=SessionCache(0), profile=TLSProfile(maximum=maximum))
    client: ClientHandshake | TLSStream = ClientHandshake(
        ClientTLS(context, NAME, level="encrypt", alpn=alpn), hand_over_client(CLIENT_ORIGIN, b"")
    )
    server: object = server_side(contexts(), alpn=frozenset(alpn))
    said: Said = []
    for _ in range(4):
        for sender, speaker in (("client", client), ("server", server)):
            out = speaker.outgoing()  # type: ignore[attr-defined]
            said.append((sender, out))  # type: ignore[arg-type]
            other = server if sender == "client" else client
            if out:
                other.receive(out)  # type: ignore[attr-defined]
            advance = getattr(other, "advance", None)
            stream = advance() if out and advance is not None else None
            if stream is not None and sender == "client":
                server = stream
            elif stream is not None:
                client = stream
    assert isinstance(client, TLSStream)
    client.close()
    said.append(("client", client.outgoing()))
    return [(sender, octets) for sender, octets in said if octets]


def read(said: Said, *, piece: int = 1 << 20) -> list[Fact]:
    """All facts, with everything cut into pieces."""
    reader = RecordReader()
    return [
        fact
        for sender, octets in said
        for at in range(0, len(octets), piece)
        for fact in reader.read(sender, octets[at : at + piece])
    ]


def test_tls_1_3_shows_its_hellos_and_nothing_else() -> None:
    """The two hellos by name, with what they say; all that is protected only as records."""
    facts = read(handshake(alpn=("smtp", "x\n")))
    messages = [fact for fact in facts if isinstance(fact, Message)]
    assert [(each.sender, each.name) for each in messages] == [("client", "ClientHello"), ("server", "ServerHello")]
    assert messages[0].detail == f"server_name {NAME}; alpn smtp,x\\n"
    assert messages[1].detail == "TLSv1.3"
    kinds = [fact.kind for fact in facts if isinstance(fact, Record) and fact.sender == "server"]
    assert kinds[:2] == ["handshake", "change_cipher_spec"] and set(kinds[2:]) == {"application_data"}
    assert not [fact for fact in facts if isinstance(fact, Alert)]


def test_tls_1_2_is_read_up_to_the_change_of_ciphers() -> None:
    """Every message in clear by name, in order; behind ChangeCipherSpec a handshake record is not looked into."""
    facts = read(handshake("TLSv1.2"))
    names = [(fact.sender, fact.name) for fact in facts if isinstance(fact, Message)]
    assert names == [
        ("client", "ClientHello"), ("server", "ServerHello"), ("server", "Certificate"),
        ("server", "ServerKeyExchange"), ("server", "ServerHelloDone"), ("client", "ClientKeyExchange"),
        ("server", "NewSessionTicket"),
    ]  # fmt: skip
    records = [fact for fact in facts if isinstance(fact, Record) and fact.sender == "client"]
    assert [each.kind for each in records[-3:]] == ["change_cipher_spec", "handshake", "alert"]
    assert not [fact for fact in facts if isinstance(fact, Alert)]


@pytest.mark.parametrize("maximum", [None, "TLSv1.2"])
def test_facts_do_not_depend_on_the_cut(maximum: str | None) -> None:
    """Whole flights, single octets and odd pieces give the same facts."""
    said = handshake(maximum)
    assert read(said, piece=1) == read(said, piece=7) == read(said)


def record(kind: int, body: bytes, version: int = 0x0303) -> bytes:
    return bytes((kind,)) + version.to_bytes(2) + len(body).to_bytes(2) + body


def test_alert_in_clear_is_named() -> None:
    """Fatal and warning, known and unknown; two in one record, one in two records."""
    octets = record(21, b"\x02\x30") + record(21, b"\x01\x00\x02\xfe")
    facts = [fact for fact in RecordReader().read("server", octets) if isinstance(fact, Alert)]
    assert facts == [
        Alert("server", "fatal", "unknown_ca"), Alert("server", "warning", "close_notify"),
        Alert("server", "fatal", "alert 254"),
    ]  # fmt: skip


def test_message_may_span_records() -> None:
    """A message is told once, when its last octet has come."""
    message = b"\x0b\x00\x00\x06abcdef"
    octets = b"".join(record(22, message[at : at + 3]) for at in range(0, len(message), 3))
    facts = RecordReader().read("server", octets)
    assert [fact for fact in facts if isinstance(fact, Message)] == [Message("server", "Certificate", 10)]
    assert isinstance(facts[-1], Message)


def test_second_client_hello_behind_a_change_of_ciphers_is_read_in_tls_1_3() -> None:
    """RFC 8446 §D.4: after a HelloRetryRequest a client sends ChangeCipherSpec, then its second hello, in clear."""
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    body = b"\x03\x03" + retry + b"\x00" + b"\x13\x02" + b"\x00" + b"\x00\x06" + b"\x00\x2b\x00\x02\x03\x04"
    reader = RecordReader()
    facts = reader.read("server", record(22, b"\x02" + len(body).to_bytes(3) + body))
    assert facts[-1] == Message("server", "HelloRetryRequest", 4 + len(body), "TLSv1.3")
    facts = reader.read("client", record(20, b"\x01") + record(22, b"\x01\x00\x00\x01x"))
    assert facts[-1] == Message("client", "ClientHello", 5)


@pytest.mark.parametrize(
    "octets", [b"220 hello\r\n", record(19, b""), b"\x16\x02\x00\x00\x01", record(22, b"")[:3] + b"\xff\xff"]
)
def test_what_is_no_record_is_said_once(octets: bytes) -> None:
    """Text, an unknown type, SSL 2, a record that is too long: one fact, then silence, whatever follows."""
    reader = RecordReader()
    assert reader.read("client", octets) == [Foreign("client", octets[:5])]
    assert reader.read("client", record(21, b"\x02\x30") * 3) == []
    assert reader.read("server", record(23, b"x")) == [Record("server", "application_data", "TLSv1.2", 1)]


def test_endless_message_is_counted_and_not_kept() -> None:
    """A message of sixteen megabytes holds no more memory than the limit."""
    reader = RecordReader()
    reader.read("server", record(22, b"\x02\xff\xff\xff"))
    for _ in range(40):
        assert reader.read("server", record(22, b"a" * RECORD_LIMIT))[1:] == []
    side = reader._sides["server"]
    assert len(side.kept) <= KEPT_LIMIT


def test_server_hello_too_short_to_choose_chooses_nothing() -> None:
    """It ends within its random: the message is told, and no version is made up."""
    body = b"\x03\x03" + bytes(32)
    facts = RecordReader().read("server", record(22, b"\x02" + len(body).to_bytes(3) + body))
    assert facts[-1] == Message("server", "ServerHello", 38, "")


def test_message_too_long_to_be_kept_is_told_without_its_details() -> None:
    """A hello of more than the limit, in two records: its name and length, and nothing is guessed of the rest."""
    name = b"\x00\x00\x00\x10\x00\x0e\x00\x00\x0bmx.long.tst"
    for padding, detail in ((10, "server_name mx.long.tst"), (KEPT_LIMIT, "")):
        extensions = name + b"\x00\x15" + padding.to_bytes(2) + bytes(padding)
        body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
        body += len(extensions).to_bytes(2) + extensions
        message = b"\x01" + len(body).to_bytes(3) + body
        records = b"".join(record(22, message[at : at + 9000]) for at in range(0, len(message), 9000))
        facts = RecordReader().read("client", records)
        assert facts[-1] == Message("client", "ClientHello", len(message), detail)


@given(st.lists(st.tuples(st.sampled_from(["client", "server"]), st.binary(max_size=60)), max_size=12))
def test_any_octets_give_facts_and_no_exception(said: list[tuple[Sender, bytes]]) -> None:
    """Whatever comes: no exception, and the same facts octet by octet."""
    records: Said = [(sender, record(20 + len(body) % 5, body)) for sender, body in said]
    for each in (said, records):
        assert read(each) == read(each, piece=1)


@given(st.binary(max_size=300))
def test_hellos_of_any_kind_are_read(body: bytes) -> None:
    """A hello with any content is one message, with its length; its detail is printable."""
    for kind in (1, 2):
        octets = record(22, bytes((kind,)) + len(body).to_bytes(3) + body)
        messages = [fact for fact in RecordReader().read("client", octets) if isinstance(fact, Message)]
        assert [each.length for each in messages] == [4 + len(body)]
        assert messages[0].detail.isprintable()


def test_lengths_add_up() -> None:
    """The records' lengths and headers are all the octets that passed."""
    said = handshake()
    for sender in ("client", "server"):
        octets = sum(len(each) for who, each in said if who == sender)
        records = [fact for fact in read(said) if isinstance(fact, Record) and fact.sender == sender]
        assert sum(each.length + 5 for each in records) == octets
