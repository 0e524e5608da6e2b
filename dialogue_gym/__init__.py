"""Gymnasium environments for multi-turn dialogue, where the user is part of the environment."""
