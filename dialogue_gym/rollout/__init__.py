"""Play a policy against environments; trajectories and evaluation."""
