"""Questions with numbers for answers, run from a checkout."""
