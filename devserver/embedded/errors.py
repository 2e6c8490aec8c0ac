"""What can go wrong with the servers; every message is meant for whoever typed the command."""


class ServersUnavailable(Exception):
    """A server could not be started or reached, or is too old; nothing was left running."""
