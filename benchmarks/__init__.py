"""Scripts that measure; run them as `python -m benchmarks.NAME`. A package, lest an installed one of this name be taken for it."""
