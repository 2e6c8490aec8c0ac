"""Sessions: opening, judging, listing and ending them; and log-ins that wait for their second factor."""
