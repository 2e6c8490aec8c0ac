"""A command that gets its servers as manage.py does, without the rest of Django: one statement, and a nap if asked."""

import contextlib
import os
import sys
import time

import psycopg2

from devserver.embedded.environment import prepared_for


def main() -> None:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(sys.argv[1])
        print(cursor.fetchone()[0] if cursor.description else "done", flush=True)
        if "--hold" in sys.argv:
            time.sleep(300)


if __name__ == "__main__":
    with prepared_for(sys.argv):
        main()
