"""Scorers: from a dialogue to a reward and metrics."""
