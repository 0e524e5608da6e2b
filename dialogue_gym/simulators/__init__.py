"""User simulators: the user's side of the dialogue."""
