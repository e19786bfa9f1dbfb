"""Words of the protocols: dictionaries for libFuzzer, and what random inputs are made of where it is not at hand."""

from __future__ import annotations

from typing import Final

ENDS: Final = (b"\r\n", b"\r", b"\n", b".", b"\r\n.\r\n", b" ", b"\0", b"\xff", b"\xc3\xa9", b"\t", b"-")
ADDRESSES: Final = (
    b"<", b">", b"@", b'"', b"\\", b"=", b"+", b"<>", b"a@b", b"xn--", b"xn--bcher-kva", b"[IPv6:::1]",
    b"[192.0.2.1]", b"postmaster", b"@a,@b:", b"\xc3\xbc", b"\xe2\x80\xa8", b".example.org",
)  # fmt: skip
SMTP: Final = (
    b"EHLO a\r\n", b"HELO a\r\n", b"MAIL FROM:<a@b>\r\n", b"MAIL FROM:<>", b"RCPT TO:<a@b>\r\n", b"DATA\r\n",
    b"RSET\r\n", b"BDAT 3\r\n", b"BDAT 2 LAST\r\n", b"NOOP\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"VRFY x\r\n",
    b"\x16\x03\x01\x00", b"AUTH PLAIN AGE=\r\n", b"AUTH LOGIN\r\n", b"*\r\n", b" SIZE=", b" ORCPT=rfc822;",
    b" NOTIFY=", b" BODY=8BITMIME", b" SMTPUTF8", b" RET=HDRS", b" ENVID=", b" AUTH=<>", b"+3D", b"LHLO a\r\n",
    b"XCLIENT ", b"GET / HTTP/1.1\r\n",
)  # fmt: skip
REPLIES: Final = (
    b"220 mx ESMTP\r\n", b"250-mx\r\n", b"250 ok\r\n", b"250-STARTTLS\r\n", b"250-PIPELINING\r\n", b"250-SIZE 99\r\n",
    b"250-8BITMIME\r\n", b"250-SMTPUTF8\r\n", b"250-DSN\r\n", b"250-CHUNKING\r\n", b"250-AUTH PLAIN LOGIN\r\n",
    b"250 LIMITS RCPTMAX=5\r\n", b"354 go\r\n", b"421 bye\r\n", b"550 5.1.1 no\r\n", b"334 \r\n", b"334 VXNlcg==\r\n",
    b"235 2.7.0 ok\r\n", b"4.2.1 ", b"552 5.5.3 x\r\n", b"250-XCLIENT NAME ADDR\r\n",
)  # fmt: skip
POP3: Final = (
    *(b"CAPA\r\n", b"STLS\r\n", b"USER a\r\n", b"PASS b\r\n", b"STAT\r\n", b"LIST\r\n", b"RETR 1\r\n", b"TOP 1 0\r\n"),
    *(b"UIDL\r\n", b"DELE 1\r\n", b"UTF8\r\n", b"NOOP\r\n", b"RSET\r\n", b"QUIT\r\n", b"AUTH PLAIN AGE=\r\n", b"*\r\n"),
)
POP3_REPLIES: Final = (
    b"+OK\r\n", b"+OK 1 1\r\n", b"-ERR [AUTH] x\r\n", b"+ \r\n", b"1 1\r\n", b"2 99999999999\r\n", b"1 uid\r\n",
    b".\r\n", b"..\r\n", b"STLS\r\n", b"SASL PLAIN\r\n", b"A: b\r\n", b"[SYS/TEMP]",
)  # fmt: skip
IMAP: Final = (
    b"a NOOP\r\n", b"a LOGIN b c\r\n", b"a APPEND x {3}\r\n", b"a APPEND x {3+}\r\n", b"a AUTHENTICATE PLAIN\r\n",
    b"a IDLE\r\n", b"DONE\r\n", b"a STARTTLS\r\n", b"a LOGOUT\r\n", b"{3}\r\n", b"~{3}\r\n", b"{3}", b"{0+}\r\n",
    b"* OK x\r\n", b"a OK x\r\n", b"a NO x\r\n", b"+ x\r\n", b"* BYE\r\n", b"* 1 FETCH (X {3}\r\n", b"* PREAUTH\r\n",
    b"* CAPABILITY IMAP4rev1 STARTTLS\r\n", b"[CAPABILITY ", b"]", b'a ID ("name" "x")\r\n', b"(", b")", b"a1 OK\r\n",
    b"LITERAL-", b"LITERAL+", b"APPENDLIMIT=", b"COMPRESS=DEFLATE", b"LOGINDISABLED", b"a2 OK\r\n",
)  # fmt: skip
XML: Final = (
    b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
    *(b"<stream:features>", b"</stream:features>", b"</stream:stream>", b"<?xml version='1.0'?>", b"<!--", b"-->"),
    b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    *(b"<a", b"/>", b"='", b"'", b'"', b"&lt;", b"&#x41;", b"&", b"<![CDATA[", b"]]>", b"<!DOCTYPE", b"xmlns:", b"</"),
)
BINARY: Final = (
    b"\0", b"\xff", b"\0\0", b"\xff\xff", b"\x80", b"\x7f", b"\0\0\0\x08", b"\x16\x03\x01", b"\x16\x03\x03",
    b"\x14\x03\x03\0\1\1", b"\x15\x03\x03\0\2\2\x28", b"\1\0\0", b"\2\0\0", b"\0\x10", b"\0\x2b\0\2\3\4",
    b"\0\x29\0\2\0\0", b"\0\x17\0\0",
)  # fmt: skip
CERTIFICATE: Final = (
    b"\x30\x82", b"\x30\x80", b"\xa0\x03\x02\x01\x02", b"\x06\x03\x55\x1d\x11", b"\x82\x0b", b"\x87\x04",
    b"\x81\x05a@b.c", b"\x06\x03\x55\x04\x03", b"\x0c\x04", b"\x1e\x04", b"\x13\x02", b"\x16\x02",
    b"\x17\x0d491231235959Z", b"\x18\x0f", b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n",
    b"-----BEGIN PRIVATE KEY-----\n", b"-----BEGIN X509 CRL-----\n", b"-----BEGIN PKCS7-----\n",
    b"-----BEGIN EC PARAMETERS-----\n", b"\n", b"\r\n", b"=",
)  # fmt: skip
HEADERS: Final = (
    *(b"From: ", b"To: ", b"Cc: ", b"Bcc: ", b"Subject: ", b"Date: ", b"Message-ID: ", b"Received: ", b"Resent-To: "),
    *(b"\r\n ", b"\r\n\t", b"\r\n\r\n", b": ", b"<a@b>", b'"a, b" <a@b>', b"(x)", b"group: a@b;", b"=?utf-8?q?x?="),
    *(b"Auto-Submitted: auto-replied", b"List-Id: ", b"Precedence: bulk", b"MIME-Version: 1.0", b"Content-Type: "),
)
TOML: Final = (
    b"[tls]\n", b"[[listener]]\n", b"[[inbound]]\n", b"[[outbound]]\n", b"[limits]\n", b"[[route]]\n", b"[[relay]]\n",
    b"[[greylist_rule]]\n", b"[greylist]\n", b"[record]\n", b"[[gate]]\n", b"[[backend]]\n", b"[delivery]\n",
    b"[[certificate]]\n", b'name = "a"\n', b'protocol = "smtp"\n', b'bind = "127.0.0.1:0"\n',
    b'from = ["192.0.2.0/24"]\n', b"enabled = true\n", b'hostname = "mx.example.org"\n',
    b'domains = ["example.org"]\n', b'to = "*"\n', b'via = "mx"\n', b'level = "verify"\n', b"'''", b'"""', b"= {",
    b"}", b"[", b"]", b",", b"#", b"1979-05-27T07:32:00Z", b"0x", b"1e9", b"nan", b"\\u0000",
)  # fmt: skip
VALUES: Final = (
    b"192.0.2.1", b"192.0.2.0/24", b"192.0.2.1-192.0.2.9", b"192.0.2.*", b"2001:db8::/32", b"::ffff:192.0.2.1",
    b"::1%eth0", b"file:", b"#", b"\n", b"5d", b"30m", b"50 MiB", b"1.5h", b"127.0.0.1:25", b"[::1]:25", b":25",
    b"mx", b"*", b".example.org", b"example.org", b"a@example.org", b"xn--bcher-kva.example",
    b"b\xc3\xbccher.example", b"sha256:", b"0" * 64, b"!", b"/",
)  # fmt: skip
IMPORTS: Final = (
    b"smtpd_tls_security_level = may\n", b"smtp_tls_policy_maps = hash:", b"mynetworks = ", b"$mydomain", b"${a?b}",
    b"\n  ", b"transport_maps = texthash:", b"\0main.cf\0", b"\0smtproutes\0", b"\0tcp.smtp\0", b"=\n",
    b':allow,RELAYCLIENT=""\n', b"10.0.:deny\n", b"1-2.", b"!TLSv1", b">=TLSv1.2", b"secure match=.example.org",
    b"dane-only", b"relay:[mx]:25", b"local:",
)  # fmt: skip
JSON: Final = (
    b'{"v":1,"kind":"', b'"', b":", b",", b"{", b"}", b"[", b"]", b"null", b"true", b"1e999", b"\\u0000", b"\\ud800",
    b"\n", b'"s":"', b'"n":', b'"t":', b'"kind":"line"', b'"kind":"opened"', b'"kind":"closed"', b'{"b64":"',
)  # fmt: skip
