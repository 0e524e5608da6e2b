"""Trains the tiny model that ships with the package: ``python -m benchmarks.tiny_model``."""
