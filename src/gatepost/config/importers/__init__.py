"""From the configuration of an old server to a commented ``gatepost.toml``: one module for each server.

Text goes in, a ``document.Document`` comes out. What the old server could say and gatepost cannot, and what the
importer does not know, stands in the document as a comment with its place, and among its notices: nothing is dropped in
silence. Certificates and cipher strings are tried (``material``).

No rule comes out wider than it was: where a condition of a rule cannot be written, the rule is a comment.
"""
