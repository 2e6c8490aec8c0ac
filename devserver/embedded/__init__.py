"""A real PostgreSQL and a real Valkey from wheels, for `make run`, `manage.py` and the tests.

One *keeper* process a state folder owns both servers. Whoever uses them holds a shared lock on the folder's
``in-use.lock``; the kernel takes that lock away when its holder ends, however it ends. The keeper stops the
servers, and itself, once nobody holds it. So commands share servers, and none can leave or stop another's.
"""
