"""Joining an organisation by an address at one of its domains, by mail or by SSO."""
