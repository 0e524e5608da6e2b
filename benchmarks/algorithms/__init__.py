"""Algorithms side by side under equal budgets, judged as the study judges."""
