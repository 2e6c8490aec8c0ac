"""Remind people by mail that they have no second factor yet, each of them once a week at most."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import QuerySet

from accounts import mail
from accounts.models import User
from agencies.models import FactorReminder
from audit.services import label_of, record
from environments.caller import Caller
from environments.models import Organisation

AGAIN_AFTER = timedelta(days=7)
AT_ONCE = 500  # mails that one request writes

_CLAIM = """
INSERT INTO agencies_factorreminder (user_id, reminded_at) SELECT id, %s FROM unnest(%s::bigint[]) AS id ORDER BY id
ON CONFLICT (user_id) DO UPDATE SET reminded_at = EXCLUDED.reminded_at
WHERE agencies_factorreminder.reminded_at <= %s
RETURNING user_id
"""


def who_can_be_reminded(people: QuerySet[User], *, now: datetime) -> QuerySet[User]:
    """Narrow to people who got no reminder in the last week."""
    reminded = FactorReminder.objects.filter(reminded_at__gt=now - AGAIN_AFTER)
    return people.exclude(pk__in=reminded.values("user"))


@transaction.atomic
def remind(people: Sequence[User], organisation: Organisation, *, by: Caller, now: datetime) -> int:
    """Mail these people how to set up a second factor, and return how many got the mail.

    People who got one in the last week, from wherever it was asked, get none; of two calls at once one mails them.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [now, [user.pk for user in people], now - AGAIN_AFTER])
        claimed = {pk for (pk,) in cursor.fetchall()}
    for user in people:
        if user.pk in claimed:
            mail.send(user, "factor_reminder", {"organisation": organisation, "who": label_of(by), "at": now})
            record("factor.reminded", organisation, by=by, subject=user)
    return len(claimed)
