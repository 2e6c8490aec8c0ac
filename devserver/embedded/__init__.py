"""A real PostgreSQL and a real Valkey from wheels, for `make run`, `manage.py` and the tests.

One *keeper* process for each state folder owns both servers. Every process that uses them holds a shared lock on the
folder's ``in-use.lock``; the kernel releases the lock when the process ends, however it ends. The keeper stops the
servers, and itself, when nobody holds the lock. So commands share servers, and no command stops those of another.
"""


class ServersUnavailable(Exception):
    """A server cannot be started or reached, or is too old; nothing is left running.

    The message is for the person who typed the command.
    """
