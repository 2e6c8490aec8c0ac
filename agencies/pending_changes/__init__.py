"""Every pending change of a setting that a person can see, wherever it is."""
