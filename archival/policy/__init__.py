"""Changing how long data is kept: preview, pending changes, their mails, data by age."""
