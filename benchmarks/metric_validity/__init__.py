"""Do the realism metrics follow the truth? Their rank correlation with an exact divergence."""
