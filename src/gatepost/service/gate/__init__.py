"""The gate: TLS with the client ends here, a server behind gets what was said, and in between it is read."""
