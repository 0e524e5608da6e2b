"""What an environment step costs, and where the time goes."""
