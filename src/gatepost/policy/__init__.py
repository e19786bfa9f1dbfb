"""Who may, must and must not: rules in, decisions out, each with the rule that made it.

Pure: facts come in as values, no file is read, no name looked up, no certificate parsed. The decision and its
explanation are one value (``rules.Decision``), so they cannot differ.
"""
