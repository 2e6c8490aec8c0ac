"""Work out the instants that retention counts from; all in UTC.

A message ages from when it was sent, a variable from the newest message of its conversation, an attachment with its
message. Nothing is dated in the future: a message that claims to be counts as received now.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import NamedTuple

from conversations.ingest.lines import ParsedConversation, ParsedMessage

PACE = timedelta(seconds=30)  # between two messages of a source that has no timestamps
BOUND = timedelta(minutes=5)  # how much later than its newest item a bound is, at most


class Sent(NamedTuple):
    at: datetime
    claimed_at: datetime | None  # what the source claimed, if that was in the future


def sent_times(conversation: ParsedConversation, *, now: datetime, spread_days: int | None = None) -> list[Sent]:
    """Return when each message was sent, in the order of ``conversation.messages``.

    A message without a timestamp takes that of the nearest one before it, or else of the first one after it. If no
    message has one, the conversation counts as received at ``now``, or with ``spread_days`` at some time in the last so
    many days. That time follows from its id, so a second import on the same day gives the same times.
    """
    messages = conversation.messages
    stamps = [message.ts for message in messages]
    if None not in stamps:
        return [_capped(stamp, now) for stamp in stamps if stamp]
    known = next((stamp for stamp in stamps if stamp), None)
    if known is None and spread_days and messages:
        return [Sent(at, None) for at in _spread(conversation.id, messages, now, spread_days)]
    known = known or now
    times = []
    for stamp in stamps:
        known = stamp or known
        times.append(_capped(known, now) if stamp else Sent(min(known, now), None))
    return times


def _capped(stamp: datetime, now: datetime) -> Sent:
    return Sent(now, stamp) if stamp > now else Sent(stamp, None)


def _spread(identity: str, messages: Sequence[ParsedMessage], now: datetime, days: int) -> list[datetime]:
    """Return instants in the ``days`` before today's UTC midnight; that of the newest follows from the id."""
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
    width = timedelta(days=days)
    back = timedelta(microseconds=number % (width // timedelta(microseconds=1)))
    pace = min(PACE, (width - back) / len(messages))
    newest = midnight - back
    return [newest - pace * steps for steps in range(len(messages) - 1, -1, -1)]


def next_bound(at: datetime) -> datetime:
    """Return ``at`` rounded up to the next five minutes, so that most later messages need not move the bound."""
    return at.replace(minute=at.minute // 5 * 5, second=0, microsecond=0) + BOUND
