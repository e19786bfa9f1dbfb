"""Extensions of a server: objects that add keywords, verbs and parameters to one side of one session.

An extension object belongs to one session for good. Before the upgrade and after it there are two sessions, so there
are two objects: what one kept about the plaintext side is not reachable from the other. A server is therefore given
extension *factories*, as a rule the classes themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from gatepost.errors import LocalProtocolError
from gatepost.wire.smtp.extensions import NO_EXTENSIONS, Extensions
from gatepost.wire.smtp.reply import NOT_IMPLEMENTED, Reply

if TYPE_CHECKING:
    from gatepost.smtp.session import Session

Command: TypeAlias = Literal["MAIL", "RCPT"]


class Extension:
    """Subclass it, name what it adds, and answer what is asked.

    What the names may be is checked when it is registered: the grammar of RFC 5321, nothing that the server does itself
    (STARTTLS, EHLO, DATA, SIZE, …), nothing twice.
    """

    only_in_private: ClassVar[bool] = False
    """Whether it exists inside TLS only: in the clear it is neither listed nor understood."""
    keywords: Sequence[str] = ()
    """Lines of the answer to EHLO, ``XQUOTA`` or ``XQUOTA 100 200``."""
    verbs: Sequence[str] = ()
    """Commands, ``XQUOTA``: legal after the greeting wherever VRFY is, and where TLS is required, inside it alone."""
    mail_parameters: Sequence[str] = ()
    """Parameters of MAIL, ``XPRIORITY``."""
    rcpt_parameters: Sequence[str] = ()
    """Parameters of RCPT."""

    # Whose it is; set when it is registered.
    __bound: bool = False

    async def on_verb(self, session: Session, verb: str, argument: str) -> Reply:
        """Answer a command.

        :param verb: in upper case.
        :param argument: what stands behind it: printable text that a stranger chose.
        :return: a 2xx reply, or a refusal; 421 ends the session.
        """
        return NOT_IMPLEMENTED

    async def on_parameter(self, session: Session, command: Command, keyword: str, value: str) -> Reply | None:
        """Look at a parameter before the command's own hook is asked.

        :return: None to go on, or a refusal.
        """
        return None

    def bind(self) -> Extensions:
        """Take this object for one session, for good, and say what it adds. The server calls it.

        :raises LocalProtocolError: when it was taken before, or its names cannot be.
        """
        if self.__bound:
            raise LocalProtocolError(
                f"this {type(self).__name__} belongs to another session already",
                hint="register a new object each time: nothing is carried from one session to the next",
            )
        added = self.added()
        self.__bound = True
        return added

    def added(self) -> Extensions:
        """What it adds, checked.

        :raises LocalProtocolError: when its names cannot be.
        """
        for names in (self.keywords, self.verbs, self.mail_parameters, self.rcpt_parameters):
            if isinstance(names, str):
                raise LocalProtocolError(f"{type(self).__name__} names {names!r} where a sequence of names is due")
        return Extensions(
            tuple(line.upper() for line in self.keywords),
            frozenset(verb.upper() for verb in self.verbs),
            frozenset(name.upper() for name in self.mail_parameters),
            frozenset(name.upper() for name in self.rcpt_parameters),
        )


ExtensionFactory: TypeAlias = Callable[[], Extension]


class ExtensionTable:
    """The extensions of one session, by what they added."""

    __slots__ = ("_parameters", "_verbs", "added")

    def __init__(self) -> None:
        self.added: Extensions = NO_EXTENSIONS
        self._verbs: Final[dict[str, Extension]] = {}
        self._parameters: Final[dict[tuple[Command, str], Extension]] = {}

    def register(self, extension: Extension, *, private: bool) -> None:
        """Take one more.

        :raises LocalProtocolError: see ``Extension.bind``; also for one that is for the other side only.
        """
        if not isinstance(extension, Extension):
            raise LocalProtocolError(f"{extension!r} is no gatepost.smtp.Extension")
        if extension.only_in_private and not private:
            raise LocalProtocolError(f"{type(extension).__name__} exists inside TLS only")
        added = extension.added()
        self.added = self.added + added
        extension.bind()
        for verb in added.verbs:
            self._verbs[verb] = extension
        for name in added.mail_parameters:
            self._parameters["MAIL", name] = extension
        for name in added.rcpt_parameters:
            self._parameters["RCPT", name] = extension

    def of_verb(self, verb: str) -> Extension:
        """Who defined a verb."""
        return self._verbs[verb]

    async def judge(self, session: Session, command: Command, parameters: Iterable[tuple[str, str]]) -> Reply | None:
        """Ask each parameter's extension; the first refusal."""
        for keyword, value in parameters:
            asked = self._parameters[command, keyword].on_parameter(session, command, keyword, value)
            refusal = await asked if isinstance(asked, Awaitable) else asked
            if refusal is not None:
                return refusal
        return None
