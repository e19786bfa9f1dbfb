"""POP3: events, states, replies, and the two halves of the conversation.

Import from the modules themselves (``gatepost.wire.pop3.server``, ``gatepost.wire.pop3.client``): a program that speaks
one half does not load the other.
"""
