"""Greylisting (RFC 6647): mail from strangers is put off once, and let in when they come again.

Pure: facts and what is remembered come in as values, the decision goes out, with the rule that made it. What remembers
is ``store.greylist``; who asks, and finds out names and countries, is ``service.greylisting``.
"""
