"""SMTP and LMTP: grammar, events, states, replies, and the two halves of the conversation.

Import from the modules themselves (``gatepost.wire.smtp.server``, ``gatepost.wire.smtp.client``): a program that speaks
one half does not load the other.
"""
