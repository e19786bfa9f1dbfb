"""Lists of IP addresses as the configuration writes them; what they mean is in ``policy.addresses``."""

from gatepost.policy.addresses import AddressList

__all__ = ["AddressList"]
