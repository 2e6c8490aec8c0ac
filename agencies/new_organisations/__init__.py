"""Creating organisations: several at once, by a pasted list or a CSV file."""
