"""The durable state behind one interface for each concern; ``sqlite`` is the embedded backend.

Nothing is imported here: a role loads only the concern that it opens.
"""
