"""Keys and certificates of our own: making them, and the combined PEM files they live in."""

from gatepost.certs.pem import combined_pem, load_combined, write_combined
from gatepost.certs.selfsigned import make_self_signed, write_self_signed

__all__ = ["combined_pem", "load_combined", "make_self_signed", "write_combined", "write_self_signed"]
