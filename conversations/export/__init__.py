"""A contact's data as a download."""
