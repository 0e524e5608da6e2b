"""Trains the tiny model that ships with the package, on generated dialogues: ``python -m benchmarks.tiny_model``."""
