"""``gatepost user``: the people who have a mailbox here and may send."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gatepost.cli import exits, passwords
from gatepost.cli.exits import CommandError
from gatepost.cli.output import amount, moment, print_json, print_table
from gatepost.cli.owner import as_owner
from gatepost.cli.settings import Settings, common_options, pass_settings

if TYPE_CHECKING:
    from pathlib import Path

    from gatepost.accounts.users import Users
    from gatepost.mailbox import Usage
    from gatepost.wire.sasl.secret import Secret

WITHOUT_CONSENT = 1
_CODES = {"missing": exits.NO_USER, "exists": exits.CANNOT_CREATE}


@click.group("user")
def command() -> None:
    """Add, list, disable and delete users, and set their passwords.

    A change is in effect at once; the server need not be reloaded.
    """


@contextmanager
def _users(settings: Settings, *, create: bool = False) -> Iterator[Users]:
    from gatepost.accounts.errors import AccountError
    from gatepost.accounts.users import Users
    from gatepost.config.invocation import here
    from gatepost.store.sqlite.accounts import FILE_NAME, SQLiteAccountStore

    config = settings.config()
    with as_owner(config, create=create):
        store = SQLiteAccountStore(config.data / FILE_NAME)
        try:
            yield Users(store, config.domains)
        except AccountError as error:
            hint = here(config, error.hint)
            raise CommandError(error.message, _CODES.get(error.reason, exits.DATA), hint=hint) from error
        finally:
            store.close()


def _password(*, stdin: bool, generate: bool, address: str) -> Secret:
    if stdin and generate:
        raise click.UsageError("--password-stdin and --generate exclude each other.")
    if stdin:
        return passwords.from_stdin()
    return passwords.generated() if generate else passwords.prompted(f"Password for {address}", twice=True)


def _tell(settings: Settings, address: str, password: Secret | None, done: str) -> None:
    """Say what was done; a password that was generated is shown this once, whatever ``-q`` says."""
    shown = None if password is None else password.reveal().decode()
    if settings.json:
        print_json({"address": address} | ({} if shown is None else {"password": shown}))
        return
    settings.say(done)
    if shown is not None:
        click.echo(f"password: {shown}")


_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
_GENERATE = click.option("--generate", is_flag=True, help="Make a random password and print it.")


@command.command("add")
@click.argument("address")
@_STDIN
@_GENERATE
@common_options
@pass_settings
def add(settings: Settings, address: str, password_stdin: bool, generate: bool) -> None:
    """Add a user, who can log in and gets mail at once.

    ADDRESS is name@domain, or a name in the first of our domains. Without an option the password is asked for.
    """
    password = _password(stdin=password_stdin, generate=generate, address=address)
    with _users(settings, create=True) as users:
        account = users.add(address, password)
    _tell(settings, account.address, password if generate else None, f"added {account.address}")


@command.command("passwd")
@click.argument("address")
@_STDIN
@_GENERATE
@common_options
@pass_settings
def passwd(settings: Settings, address: str, password_stdin: bool, generate: bool) -> None:
    """Set a user's password. Without an option it is asked for."""
    password = _password(stdin=password_stdin, generate=generate, address=address)
    with _users(settings) as users:
        users.set_password(address, password)
        account = users.find(address)
    name = account.address if account else address
    _tell(settings, name, password if generate else None, f"the password of {name} is set")


@command.command("delete")
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@common_options
@pass_settings
def delete(settings: Settings, address: str, yes: bool) -> None:
    """Delete a user. The mailbox on disk stays.

    On a terminal it asks first; a script is not asked.
    """
    from gatepost.mailbox.names import mailbox_root

    with _users(settings) as users:
        account = users.find(address)
        if account is not None and not yes and _interactive():
            _be_sure(account.address)
        users.delete(address)
    name = account.address if account else address
    mailbox = mailbox_root(settings.config().data, name)
    kept = f"the mailbox stays: {mailbox}" if mailbox.exists() else "it had no mailbox yet"
    _tell(settings, name, None, f"deleted {name}; {kept}")


def _interactive() -> bool:
    return sys.stdin.isatty()


def _be_sure(address: str) -> None:
    """Ask whether a user is really to be deleted.

    :raises CommandError: when not.
    """
    if not click.confirm(f"Delete {address}, who can then no longer log in or get mail?", err=True):
        raise CommandError("nothing was deleted", WITHOUT_CONSENT)


@command.command("disable")
@click.argument("address")
@common_options
@pass_settings
def disable(settings: Settings, address: str) -> None:
    """Refuse a user's logins. Mail for it is still taken and kept."""
    _set_disabled(settings, address, True)


@command.command("enable")
@click.argument("address")
@common_options
@pass_settings
def enable(settings: Settings, address: str) -> None:
    """Allow the logins of a user that was disabled."""
    _set_disabled(settings, address, False)


def _set_disabled(settings: Settings, address: str, disabled: bool) -> None:
    with _users(settings) as users:
        users.set_disabled(address, disabled)
        account = users.find(address)
    name = account.address if account else address
    _tell(settings, name, None, f"{name} {'can no longer' if disabled else 'can'} log in")


def _mailbox(data: Path, address: str) -> Usage | None:
    """How much a user's mailbox holds; None when it cannot be read."""
    from gatepost.errors import GatepostError
    from gatepost.mailbox import Maildir, mailbox_root

    try:
        return Maildir(mailbox_root(data, address)).usage()
    except GatepostError:
        return None


@command.command("list")
@common_options
@pass_settings
def list_users(settings: Settings) -> None:
    """List the users, with what their mailboxes hold and when they last logged in."""
    data = settings.config().data
    with _users(settings) as users:
        accounts = users.list()
        mailboxes = {account.address: _mailbox(data, account.address) for account in accounts}
    if settings.json:
        print_json(
            [
                {
                    "address": account.address,
                    "created_at": account.created_at,
                    "password_set_at": account.password_set_at,
                    "disabled": account.disabled,
                    "last_login": account.last_login,
                    "messages": usage.messages if usage else None,
                    "bytes": usage.octets if usage else None,
                }
                for account in accounts
                for usage in (mailboxes[account.address],)
            ]
        )
        return
    rows = [
        (
            account.address,
            usage.messages if usage else "?",
            amount(usage.octets) if usage else "?",
            moment(account.created_at),
            moment(account.password_set_at),
            moment(account.last_login) or "never",
            "disabled" if account.disabled else "",
        )
        for account in accounts
        for usage in (mailboxes[account.address],)
    ]
    columns = ("address", "messages", "size", "created", "password set", "last login", "state")
    print_table(columns, rows, empty="there are no users")
