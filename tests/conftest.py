"""What all tests share: properties are looked for on machines of every speed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Time is no promise of these tests: on a loaded machine an example may take long, and so may making it.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few examples", settings.get_profile("any speed"), max_examples=15)  # --hypothesis-profile
settings.load_profile("any speed")
