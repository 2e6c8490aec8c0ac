"""The compliance of everything below an organisation in figures, each with the list of what it counts."""
