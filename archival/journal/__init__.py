"""The journal outside the database, and how its files and those of receipts are signed."""
