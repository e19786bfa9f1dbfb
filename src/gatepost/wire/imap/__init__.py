"""IMAP (RFC 9051, RFC 3501) as a gate needs it: the conversation before TLS, and the way of everything else through.

Mailboxes are a server's business. What is here reads as much of both streams as it takes to know where a command, a
response and a literal begin and end, and whether a login was accepted; everything else passes octet for octet.
"""
