"""The table of all environments below an organisation: filter, order, page and file."""
