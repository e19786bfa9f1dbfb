"""Write the man pages: one for each command, from its help, and one for sendmail. ``python docs/generate_man.py DIR``.

The date is that of SOURCE_DATE_EPOCH when it is set, so that the same source gives the same pages.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from gatepost._version import __version__
from gatepost.cli.main import gatepost

SENDMAIL = r"""
.SH NAME
gatepost\-sendmail, sendmail, mailq, newaliases \- hand mail to the local gatepost server
.SH SYNOPSIS
.B sendmail
[\fIoptions\fR] [\fIaddress\fR ...]
.br
.B mailq
.br
.B newaliases
.SH DESCRIPTION
Reads a message from standard input and hands it to the gatepost server that runs on this machine, over a local socket.
Nothing is spooled: when no server listens, the exit code is 75 (try again). The server completes what is missing (Date,
Message\-ID) and learns from the kernel which user called.
.PP
Called as \fBmailq\fR it prints the queue; called as \fBnewaliases\fR it does nothing, as aliases are part of the
configuration.
.SH OPTIONS
.TP
.B \-t
Take recipients from To, Cc and Bcc of the header (from the Resent\- fields when there are any), and remove Bcc.
.TP
.BR \-i ", " \-oi
A line with a single dot does not end the message.
.TP
\fB\-f\fR, \fB\-r\fR \fIaddress\fR
Envelope sender; <> is the null sender. Otherwise the calling user.
.TP
\fB\-F\fR \fIname\fR
Full name for a From field that is missing.
.TP
\fB\-N\fR \fInever\fR|\fIsuccess,failure,delay\fR
When to report delivery.
.TP
\fB\-R\fR \fIfull\fR|\fIhdrs\fR
How much a report returns.
.TP
\fB\-V\fR \fIid\fR
Envelope id for reports.
.TP
\fB\-B\fR \fI7BIT\fR|\fI8BITMIME\fR
Kind of content.
.TP
.B \-bs
Speak SMTP on standard input and output.
.TP
.B \-bp
Print the queue (mailq).
.TP
.B \-bv
Ask the server whether it would take mail for the addresses.
.TP
.B \-bi
Do nothing (newaliases).
.TP
.B \-q
Have the server look at its queue now.
.TP
.B \-v
Accepted.
.PP
Other options are ignored with a warning.
.SH ENVIRONMENT
.TP
.B GATEPOST_SENDMAIL_SOCKET
The socket to use. Otherwise sendmail.sock is looked for in /run/gatepost, /var/lib/gatepost, the XDG state folder and
\&./data.
.SH EXIT STATUS
0 taken for all recipients; 64 usage; 65 content or address refused; 67 no such user; 75 try again; 76 protocol; 77 not
permitted.
.SH SEE ALSO
.BR gatepost (1)
"""


def main() -> int:
    """Write every page into the directory that the command line names."""
    if len(sys.argv) != 2:
        print("usage: python docs/generate_man.py DIRECTORY", file=sys.stderr)
        return 64
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    root = click.Context(gatepost, info_name="gatepost")
    for name, text in pages(root):
        (target / f"{name}.1").write_text(text)
    (target / "gatepost-sendmail.1").write_text(_title("gatepost-sendmail") + SENDMAIL.lstrip("\n"))
    return 0


def pages(context: click.Context) -> list[tuple[str, str]]:
    """The page of a command, and those of its subcommands: name and text."""
    command = context.command
    name = context.command_path.replace(" ", "-")
    found = [(name, _page(context, name))]
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            inner = command.get_command(context, sub)
            if inner is not None and not inner.hidden:
                found += pages(click.Context(inner, info_name=sub, parent=context))
    return found


def _page(context: click.Context, name: str) -> str:
    command = context.command
    lines = [_title(name), ".SH NAME"]
    lines.append(f"{_escaped(name)} \\- {_escaped(command.get_short_help_str(200).rstrip('.'))}")
    lines += [".SH SYNOPSIS", f".B {_escaped(context.command_path)}"]
    lines.append(_escaped(" ".join(command.collect_usage_pieces(context))))
    lines.append(".SH DESCRIPTION")
    lines += _paragraphs(command.help or "")
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    records = [record for each in options if (record := each.get_help_record(context))]
    if records:
        lines.append(".SH OPTIONS")
        for written, text in records:
            lines += [".TP", f".B {_escaped(written)}", _escaped(text)]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for sub in command.list_commands(context):
            inner = command.get_command(context, sub)
            if inner is not None and not inner.hidden:
                lines += [".TP", f".BR {_escaped(f'{name}-{sub}')} (1)", _escaped(inner.get_short_help_str(200))]
    if command.epilog:
        lines += [".SH NOTES", *_paragraphs(command.epilog)]
    lines += [".SH SEE ALSO", _see_also(context, name), ""]
    return "\n".join(lines)


def _see_also(context: click.Context, name: str) -> str:
    if context.parent is None:
        return ".BR gatepost\\-sendmail (1)"
    return f".BR {_escaped(context.parent.command_path.replace(' ', '-'))} (1)"


def _title(name: str) -> str:
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    date = time.strftime("%Y-%m-%d", time.gmtime(seconds))
    return f'.TH "{name.upper()}" "1" "{date}" "gatepost {__version__}" "gatepost"\n'


def _paragraphs(text: str) -> list[str]:
    """Paragraphs of a help text; one that begins with a form feed mark is kept line by line."""
    lines: list[str] = []
    for paragraph in text.replace("\r", "").strip().split("\n\n"):
        verbatim = paragraph.lstrip().startswith("\b")
        rows = [row.strip() for row in paragraph.split("\n") if row.strip(" \b")]
        rows = [_escaped(row.lstrip("\b")) for row in rows]
        lines += [".nf", *rows, ".fi"] if verbatim else [" ".join(rows)]
        lines.append(".PP")
    return lines[:-1]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    sys.exit(main())
