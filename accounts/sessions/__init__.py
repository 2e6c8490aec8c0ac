"""Sessions: opening, judging, listing and ending them; and log-ins that wait for a second factor."""
