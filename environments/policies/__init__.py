"""The two settings: own value, lock, effective value, and changes that wait for their date."""
