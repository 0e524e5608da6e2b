"""Agents that learn in the environments of ``dialogue_gym``, one package per algorithm."""
