"""gatepost moves mail privately: a mail server, relay and gate built around the STARTTLS upgrade, and the library.

Importing this package imports nothing else: public names are loaded when first used.
"""

from gatepost._version import __version__

__all__ = ["__version__"]
