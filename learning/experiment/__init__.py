"""Experiments: task × model × partition × algorithm × seed, run round by round, resumable, and reported with intervals."""
