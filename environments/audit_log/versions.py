"""Tell the second of two who save the same what the first one changed, in the words of the audit log."""

from typing import Any

from accounts.models import User
from audit.models import Event
from environments.audit_log.words import changes_of, sentence_of
from environments.models import Organisation
from web.versions import ChangedMeanwhile, is_seen


def check_version(
    seen: str | None, value: Any, organisation: Organisation, *actions: str, subject: User | None = None
) -> None:
    """Raise ``ChangedMeanwhile`` unless ``seen`` is None or the version of ``value``, which was just read under a lock.

    ``actions`` are the beginnings of the events that change the value in the organisation.
    """
    if is_seen(seen, value):
        return
    events = Event.objects.filter(organisation_id=organisation.pk).latest_first()
    if subject is not None:
        events = events.filter(subject_kind="user", subject_id=subject.pk)
    event = next((each for each in events[:50] if each.action.startswith(actions)), None)
    raise ChangedMeanwhile("" if event is None else f"{event.actor_label} {_in_words(event)}.")


def _in_words(event: Event) -> str:
    changes = [f"{each.label}: {each.before or '–'} → {each.after or '–'}" for each in changes_of(event)]
    return f"{sentence_of(event)} ({', '.join(changes)})" if changes else sentence_of(event)
