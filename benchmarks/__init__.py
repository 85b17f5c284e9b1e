"""Measurements, one command each (`make bench-…`). A package of its own, as others install one of this name."""
