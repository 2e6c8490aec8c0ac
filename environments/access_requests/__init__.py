"""Asking for access to an organisation, and answering."""
