"""Static, naive, calibrated, oracle: what ways to train are worth under users that they never met."""
