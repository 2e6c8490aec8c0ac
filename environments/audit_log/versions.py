"""The version of what somebody sees, so that the second of two who save the same is told what the first one changed."""

import json
from hashlib import sha256
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.models import User
from audit.models import Event
from environments.audit_log.words import changes_of, sentence_of
from environments.models import Organisation

CHANGED_MEANWHILE = "changed_meanwhile"


class ChangedMeanwhile(ValidationError):
    """What is to be changed is not what was shown any more; its message says who changed what."""


def version_of(value: Any) -> str:
    """Return a short text that differs for different values; ``value`` serialises to JSON."""
    return sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def check_version(
    seen: str | None, value: Any, organisation: Organisation, *actions: str, subject: User | None = None
) -> None:
    """Raise ``ChangedMeanwhile`` unless ``seen`` is None or the version of ``value``, which was just read under a lock.

    ``actions`` are the beginnings of the events that change the value in the organisation.
    """
    if seen is None or seen == version_of(value):
        return
    events = Event.objects.filter(organisation_id=organisation.pk).latest_first()
    if subject is not None:
        events = events.filter(subject_kind="user", subject_id=subject.pk)
    event = next((each for each in events[:50] if each.action.startswith(actions)), None)
    what = "" if event is None else f"{event.actor_label} {_in_words(event)}. "
    raise ChangedMeanwhile(
        what + _("This was changed while you had the page open. Check it, then save again to replace it."),
        code=CHANGED_MEANWHILE,
    )


def _in_words(event: Event) -> str:
    changes = [f"{each.label}: {each.before or '–'} → {each.after or '–'}" for each in changes_of(event)]
    return f"{sentence_of(event)} ({', '.join(changes)})" if changes else sentence_of(event)
