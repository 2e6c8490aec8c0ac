"""One run of the purge: its batches, its SQL, its guards, and gaps between runs."""
