"""Errors of the servers. Their messages are for the person who typed the command."""


class ServersUnavailable(Exception):
    """A server cannot be started or reached, or is too old; nothing is left running."""
