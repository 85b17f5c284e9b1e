"""Attacks and test data; nothing outside tests and benchmarks imports this."""
