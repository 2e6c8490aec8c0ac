"""May the web show anything yet? Not while an older database is in place that still has what was deleted since."""

import logging
import time
from dataclasses import dataclass, field

from django.db import Error as DatabaseError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from archival.journal import entries as journal

logger = logging.getLogger(__name__)

READY_FOR = 60.0  # seconds that an answer holds, in each process
UNREADY_FOR = 5.0


@dataclass
class Readiness:
    """What one process knows of it, asked again once that is old."""

    reason: str | Promise = ""  # empty: ready
    known_until: float = field(default=0.0)
    was_ready: bool = False

    def reason_not_to(self) -> str | Promise:
        """Return why nothing may be shown, or an empty text.

        Where the journal cannot be read, a process that was ready stays so: it has been served since, and a database
        is put back with the web stopped. One that has just started waits.
        """
        if time.monotonic() < self.known_until:
            return self.reason
        try:
            is_ahead = journal.is_ahead()
        except Exception as error:  # storage and database raise what they like
            logger.exception("The journal of purges cannot be read: %s", type(error).__name__)
            self.reason = "" if self.was_ready else _("The journal of purges cannot be read.")
        else:
            self.reason = _("A backup was restored. What was deleted since is being deleted again.") if is_ahead else ""
            self.was_ready = not is_ahead
        self.known_until = time.monotonic() + (UNREADY_FOR if self.reason else READY_FOR)
        return self.reason

    def forget(self) -> None:
        self.reason, self.known_until, self.was_ready = "", 0.0, False


def reason_to_refuse_commands() -> str:
    """Return why no command may change anything that the journal speaks of, or an empty text.

    A command has just started: where the journal cannot be read, it waits, as a process of the web does. Raises what
    the database raises.
    """
    try:
        return journal.RESTORED if journal.is_ahead() else ""
    except DatabaseError:
        raise
    except Exception as error:  # storage raises what it likes
        return f"The journal of purges cannot be read ({type(error).__name__}), which tells what this database lacks."


readiness = Readiness()
