"""Find out whether the web can show data: not while a restored database has what was deleted after its backup."""

import logging
import time
from dataclasses import dataclass, field

from django.db import Error as DatabaseError
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from archival.journal import entries as journal

logger = logging.getLogger(__name__)

READY_FOR = 60.0  # seconds for which a process keeps the answer that it is ready
UNREADY_FOR = 5.0  # seconds for which it keeps the answer that it is not


@dataclass
class Readiness:
    """The answer that one process keeps for ``READY_FOR`` or ``UNREADY_FOR`` seconds."""

    reason: str | Promise = ""  # why the process is not ready; empty if it is
    known_until: float = field(default=0.0)
    was_ready: bool = False

    def reason_not_ready(self) -> str | Promise:
        """Return why the web cannot show data yet, or an empty text.

        If the journal cannot be read, a process that was ready stays ready, since a database is restored with the web
        stopped. A process that has just started waits.
        """
        if time.monotonic() < self.known_until:
            return self.reason
        try:
            is_ahead = journal.database_is_older()
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
    """Return why commands cannot change data yet, or an empty text.

    If the journal cannot be read, commands are refused, like requests in a process that has just started. Raises errors
    of the database.
    """
    try:
        return str(journal.RESTORED) if journal.database_is_older() else ""
    except DatabaseError:
        raise
    except Exception as error:  # storage raises what it likes
        reason = gettext(
            "The journal of purges cannot be read (%(error)s), so nobody knows which entries this database lacks."
        )
        return reason % {"error": type(error).__name__}


readiness = Readiness()
