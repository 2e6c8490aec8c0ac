#!/usr/bin/env python
"""Run a management command, with embedded servers for its duration where DATABASE_URL and REDIS_URL are not set."""

import os
import sys

from devserver.embedded.environment import prepared_for


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")
    with prepared_for(sys.argv) as is_embedded:
        from django.core.management import execute_from_command_line

        if is_embedded:
            from devserver.embedded.tables import create_tables

            create_tables(sys.argv)
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
