"""One run of the purge: its limits, its SQL, the run itself, its guards."""
