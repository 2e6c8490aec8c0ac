"""Confirm that the purge can delete more than its maximum in an environment."""

from datetime import datetime

from django.db import transaction

from archival.models import Guard
from audit.services import record
from environments.caller import Caller
from environments.models import Organisation


def confirm_in_advance(organisation: Organisation, *, by: Caller, now: datetime) -> None:
    """Let the purge exceed its maximum for a day in every environment with a limit at or below the organisation."""
    person = by.person
    limited = Organisation.objects.below(organisation).environments().filter(effective_archive_after_days__isnull=False)
    with transaction.atomic():
        Guard.objects.filter(environment__in=limited, confirmed_at=None).update(confirmed_at=now, confirmed_by=person)
        Guard.objects.bulk_create(
            Guard(environment=environment, tripped_at=now, confirmed_at=now, confirmed_by=person)
            for environment in limited
        )
        record("purge.confirmed_ahead", organisation, by=by)


def confirm_guard(environment: Organisation, *, by: Caller, now: datetime) -> bool:
    """Let the purge exceed its maximum for a day in a guarded environment; return whether it was guarded."""
    with transaction.atomic():
        confirmed = Guard.objects.filter(environment=environment, confirmed_at=None).update(
            confirmed_at=now, confirmed_by=by.person
        )
        if confirmed:
            record("purge.guard_confirmed", environment, by=by)
    return bool(confirmed)
