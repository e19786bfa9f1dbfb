"""The pytest plugin: ``smtp_server`` and ``make_smtp_server``.

pytest loads it by its entry point wherever gatepost is installed. It imports nothing of gatepost until a fixture is
used, and costs a run without them about a millisecond.

    def test_newsletter(smtp_server):
        send_newsletter("localhost", smtp_server.port, cafile=smtp_server.ca_file)
        (received,) = smtp_server.messages
        assert received.secure
        assert received.message["Subject"] == "News"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gatepost.testing.smtpserver import SMTPServer


@pytest.fixture
def make_smtp_server() -> Iterator[Callable[..., SMTPServer]]:
    """Make SMTP servers with settings of your own: the arguments are those of ``gatepost.testing.SMTPServer``."""
    from gatepost.testing.smtpserver import SMTPServer

    with ExitStack() as running:

        def make(*arguments: Any, **settings: Any) -> SMTPServer:
            return running.enter_context(SMTPServer(*arguments, **settings))

        yield make


@pytest.fixture
def smtp_server(make_smtp_server: Callable[..., SMTPServer]) -> SMTPServer:
    """A real SMTP server with STARTTLS and a throw-away certificate, its messages in a list: one for each test."""
    return make_smtp_server()
