"""Tasks: what a dialogue is about, and where tasks come from."""
