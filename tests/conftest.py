"""What all tests share: no law of Hypothesis is judged by the clock of a machine that has other work."""

from hypothesis import settings

settings.register_profile("softnet", deadline=None)
settings.load_profile("softnet")
