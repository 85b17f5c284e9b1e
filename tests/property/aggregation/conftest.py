"""Hypothesis for these tests: the same examples every time, and no deadline (the first numba call loads machine code)."""

from hypothesis import settings

settings.register_profile("aggregation", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("aggregation")
