"""An IMAP server that says what a test wants it to say, and remembers everything that it heard."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self

TIMEOUT: Final = 20.0
LISTED: Final = b"IMAP4rev1 LITERAL+ IDLE ID AUTH=PLAIN"
_COMMAND: Final = re.compile(rb"(\S+) (\S+)([^\r\n]*)\r\n")
_ANSWERS: Final[Mapping[bytes, bytes]] = {
    b"CAPABILITY": b"* CAPABILITY %LIST\r\n%TAG OK done\r\n",
    b"LOGIN": b"%TAG OK in\r\n",
    b"AUTHENTICATE": b"%TAG OK in\r\n",
    b"STARTTLS": b"%TAG BAD no\r\n",
    b"LOGOUT": b"* BYE bye\r\n%TAG OK done\r\n",
    b"HANGUP": b"",
}
Takes = Callable[["Behind"], None]


class Behind:
    """One connection from the gate."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock: Final = sock
        self.heard = b""
        self.ended = threading.Event()

    def send(self, data: bytes) -> None:
        """Say something."""
        self.sock.sendall(data)

    def more(self) -> bytes:
        """Hear something; empty at the end."""
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        self.heard += data
        return data


class ScriptedIMAP:
    """A server on a free port. It answers line by line; what it knows no answer to is OK.

    :param answers: verb to answer, over the usual ones; ``%TAG`` is the command's tag, ``%LIST`` the capabilities.
    :param greeting: said first.
    :param takes: has a connection for itself, greeting and all, in place of the script, once somebody logs in there or
        ``takes_all``.
    """

    def __init__(
        self,
        answers: Mapping[bytes, bytes] | None = None,
        *,
        greeting: bytes = b"* OK ready\r\n",
        listed: bytes = LISTED,
        takes: Takes | None = None,
    ) -> None:
        self._answers: Final = {**_ANSWERS, **(answers or {})}
        self.greeting = greeting
        self._listed: Final = listed
        self._takes: Final = takes
        self._sock: Final = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: Final[int] = self._sock.getsockname()[1]
        self.connections: Final[list[Behind]] = []
        self._changed: Final = threading.Condition()
        self._threads: Final[list[threading.Thread]] = []
        self._closing = False

    @property
    def backend(self) -> dict[str, object]:
        """The keys of a ``[[backend]]`` called ``mail`` that leads here."""
        return {"name": "mail", "servers": f"127.0.0.1:{self.port}"}

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close_listener(self) -> None:
        """Accept nobody any more; the port refuses."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._sock.close()

    def close(self) -> None:
        """Be gone, with every connection."""
        self.close_listener()
        for each in self.connections:
            try:
                each.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(TIMEOUT)

    def heard(self, words: bytes = b"LOGIN") -> Behind:
        """Wait for a connection that heard these words."""
        with self._changed:
            found = self._changed.wait_for(
                lambda: next((each for each in self.connections if words in each.heard), None), TIMEOUT
            )
        assert found is not None, f"nobody said {words!r}: {[each.heard[:200] for each in self.connections]}"
        return found

    def everything(self) -> bytes:
        """All that was ever heard."""
        with self._changed:
            return b"".join(each.heard for each in self.connections)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT * 6)
            behind = Behind(sock)
            with self._changed:
                self.connections.append(behind)
            if self._closing:
                sock.close()
            else:
                self._start(lambda each=behind: self._serve(each))  # type: ignore[misc]

    def _serve(self, behind: Behind) -> None:
        with behind.sock:
            try:
                behind.send(self.greeting)
                self._converse(behind)
            except OSError:
                pass
            finally:
                behind.ended.set()

    def _converse(self, behind: Behind) -> None:
        read = 0
        while behind.more():
            with self._changed:
                self._changed.notify_all()
            while (found := _COMMAND.match(behind.heard, read)) is not None:
                read = found.end()
                verb = found[2].upper()
                behind.send(self._answer(found[1], verb))
                if verb in (b"LOGOUT", b"HANGUP"):
                    return
                if verb == b"LOGIN" and self._takes is not None:
                    self._takes(behind)
                    return
            if b"\r\n" in behind.heard[read:]:
                read = behind.heard.rindex(b"\r\n") + 2  # content

    def _answer(self, tag: bytes, verb: bytes) -> bytes:
        text = self._answers.get(verb, b"%TAG OK done\r\n")
        return text.replace(b"%TAG", tag).replace(b"%LIST", self._listed)
