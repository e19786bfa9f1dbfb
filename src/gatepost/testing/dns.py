"""A name server for tests: a few records in memory, served on loopback over UDP and TCP.

It answers as an authority does, so that what is tested is the resolver and not a stand-in for it::

    with FakeDNS() as dns:
        dns.add("example.com", "MX", "10 mx.example.com.")
        dns.add("mx.example.com", "A", "127.0.0.1")
        dns.fail("broken.example")             # SERVFAIL
        resolver = DNSResolver([dns.nameserver])
"""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import Final, final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rrset

_UDP_LIMIT: Final = 1232  # what fits one datagram; longer answers are cut with TC, RFC 1035 §4.2.1
_TTL: Final = 60


@final
class FakeDNS:
    """An authoritative server for whatever was added. Names that were not added do not exist (NXDOMAIN).

    :param address: the loopback address to serve on; the port is a free one.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._records: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
        self._names: set[dns.name.Name] = set()
        self._rcodes: dict[dns.name.Name, dns.rcode.Rcode] = {}
        self._silent: set[dns.name.Name] = set()
        self._lock = threading.Lock()
        self.questions: list[tuple[str, str]] = []  # every question that was asked: (name, type)
        self._udp, self._tcp = _bound_pair(address)
        self.address, self.port = self._udp.getsockname()[:2]
        self._closing = False
        self._threads = [
            threading.Thread(target=self._serve_udp, name="fake-dns-udp", daemon=True),
            threading.Thread(target=self._serve_tcp, name="fake-dns-tcp", daemon=True),
        ]

    @property
    def nameserver(self) -> str:
        """``address:port``, as ``[delivery] resolver`` and ``net.resolve`` take it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    def add(self, name: str, kind: str, *values: str, ttl: int = _TTL) -> None:
        """Add records, in zone-file text: ``add("example.com", "MX", "10 mx.example.com.")``."""
        owner = dns.name.from_text(name)
        rdtype = dns.rdatatype.from_text(kind)
        with self._lock:
            self._names.add(owner)
            if values:
                self._records[owner, rdtype] = dns.rrset.from_text(owner, ttl, "IN", kind, *values)

    def fail(self, name: str, rcode: str = "SERVFAIL") -> None:
        """Answer every question about ``name`` with this code."""
        with self._lock:
            self._rcodes[dns.name.from_text(name)] = dns.rcode.from_text(rcode)

    def silence(self, name: str) -> None:
        """Never answer a question about ``name``."""
        with self._lock:
            self._silent.add(dns.name.from_text(name))

    def remove(self, name: str) -> None:
        """Forget everything about ``name``."""
        owner = dns.name.from_text(name)
        with self._lock:
            self._names.discard(owner)
            self._silent.discard(owner)
            self._rcodes.pop(owner, None)
            for key in [key for key in self._records if key[0] == owner]:
                del self._records[key]

    def __enter__(self) -> FakeDNS:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        with socket.socket(self._udp.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, self.port))
        with socket.create_connection((self.address, self.port), timeout=5):
            pass
        for thread in self._threads:
            thread.join(timeout=5)
        self._udp.close()
        self._tcp.close()

    def _serve_udp(self) -> None:
        while True:
            data, peer = self._udp.recvfrom(65535)
            if self._closing:
                return
            reply = self._answer(data)
            if reply is None:
                continue
            wire = reply.to_wire(max_size=65535)
            if len(wire) > _UDP_LIMIT:
                cut = dns.message.make_response(dns.message.from_wire(data))
                cut.flags |= dns.flags.TC | dns.flags.AA
                wire = cut.to_wire()
            self._udp.sendto(wire, peer)

    def _serve_tcp(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                if self._closing:
                    return
                connection.settimeout(5)
                try:
                    (length,) = struct.unpack("!H", _exactly(connection, 2))
                    reply = self._answer(_exactly(connection, length))
                    if reply is not None:
                        wire = reply.to_wire(max_size=65535)
                        connection.sendall(struct.pack("!H", len(wire)) + wire)
                except OSError:
                    continue

    def _answer(self, data: bytes) -> dns.message.Message | None:
        """The answer to one query; None for silence."""
        try:
            query = dns.message.from_wire(data)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return None
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA | dns.flags.RA
        with self._lock:
            self.questions.append((question.name.to_text(omit_final_dot=True), question.rdtype.name))
            if question.name in self._silent:
                return None
            self._fill(reply, question.name, question.rdtype)
        return reply

    def _fill(self, reply: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> None:
        for _ in range(8):  # the longest chain of aliases that is followed
            if name in self._rcodes:
                reply.set_rcode(self._rcodes[name])
                return
            if name not in self._names:
                if not reply.answer:
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                return
            if (found := self._records.get((name, kind))) is not None:
                reply.answer.append(found)
                return
            alias = self._records.get((name, dns.rdatatype.CNAME))
            if alias is None:
                return
            reply.answer.append(alias)
            target = alias[0]
            assert isinstance(target, dns.rdtypes.ANY.CNAME.CNAME)
            name = target.target


def _bound_pair(address: str) -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket on one free port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(50):
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.bind((address, 0))
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.bind((address, tcp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
            continue
        tcp.listen(16)
        return udp, tcp
    raise OSError("no port is free for both UDP and TCP")


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionResetError("the client closed")
        data += more
    return data
