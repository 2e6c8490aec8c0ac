"""Delete an organisation on request, with all its data.

Other organisations below it, active holds in it, and an export of it that is being written forbid that. An export that
is ready outlives it, until it expires.
"""

import time
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from archival.choices import DeletionNews, DeletionState, RunPurpose, RunState, StopReason
from archival.engine import run as engine
from archival.engine.delete_older import delete_batch, delete_some_contacts, delete_some_conversations
from archival.exports.queries import running_export_of
from archival.exports.services import keep_for_parent
from archival.journal import entries as journal
from archival.models import BlobToDelete, Deletion, Hold, PurgeRun
from archival.policy.services import end_changes_before_deletion
from archival.requests.erasure import count_inside
from audit.services import label_of, record
from conversations.models import Blob, Contact, Conversation
from environments.access import permissions_in, who_can
from environments.caller import SYSTEM, Caller
from environments.choices import Permission
from environments.models import Organisation
from environments.policies.resolve import lock_policies, share_policies
from environments.tree import services as environments
from web.background import enqueue_after_commit
from web.locks import lock_if_free

DELETION_LOCK = 0x44_45_4C_45  # with the id of a deletion: one worker at a time
STEPS = (delete_some_conversations, delete_some_contacts)  # a contact is deleted after its conversations
OPEN = (DeletionState.RUNNING, DeletionState.STOPPED)
EVERYTHING = timedelta(hours=2)  # a cutoff this far ahead covers all: clocks of conversations are rounded up


def count_organisation(organisation: Organisation) -> dict[str, int]:
    """Return how many rows and bytes deleting the organisation would delete, by the kinds of a receipt."""
    return {**count_inside(organisation.pk), "contacts": organisation.contacts.count()}


def delete_organisation(organisation: Organisation, *, by: Caller, now: datetime) -> PurgeRun:
    """Delete the organisation and all its data before returning; return the run, which has the receipts.

    The caller has shown ``count_organisation`` and asked for step-up and the typed name. Raises ``ValidationError``
    where ``begin_deletion`` does, and if the deletion was stopped meanwhile.
    """
    deletion = begin_deletion(organisation, by=by, now=now)
    continue_deletion(deletion, now=now)
    deletion.refresh_from_db()
    if deletion.state != DeletionState.DONE:
        raise ValidationError(deletion.get_reason_display(), code=deletion.reason)
    return PurgeRun.objects.get(deletion=deletion)


@transaction.atomic
def request_deletion(organisation: Organisation, *, by: Caller, now: datetime) -> Deletion:
    """Begin a deletion as ``begin_deletion`` does, and enqueue the task that carries it out, after the commit."""
    deletion = begin_deletion(organisation, by=by, now=now)
    enqueue_after_commit("archival.tasks.delete_organisation", deletion.pk)
    return deletion


def begin_deletion(organisation: Organisation, *, by: Caller, now: datetime) -> Deletion:
    """Suspend the organisation, so that no data comes in, and store that it is to be deleted.

    ``continue_deletion`` then deletes it. Resumes a deletion that was stopped. Tells the administrators by mail. Raises
    ``ValidationError`` if another organisation is below this one, if an export of it is running, if a hold is active in
    it, and if it is being deleted already.
    """
    counted = count_organisation(organisation)
    with transaction.atomic():
        lock_policies()
        organisation.refresh_from_db()
        check_deletable(organisation, now=now)
        was_suspended = organisation.suspended_at is not None
        environments.suspend(organisation, by=by, now=now)
        person = by.person
        asked = {"requested_at": now, "requested_by": person, "requested_label": label_of(by)}
        deletion = Deletion.objects.filter(organisation=organisation, state__in=OPEN).select_for_update().first()
        if deletion is None:
            deletion = Deletion.objects.create(
                organisation=organisation,
                organisation_label=organisation.name,
                parent=Organisation.objects.filter(path=organisation.parent_path).first(),
                counted=counted,
                was_suspended=was_suspended,
                run=PurgeRun.objects.create(as_of=now, purpose=RunPurpose.DELETION),
                **asked,
            )
        elif deletion.state == DeletionState.RUNNING:
            raise ValidationError(_("This organisation is being deleted already."), code="running")
        else:
            run = PurgeRun.objects.filter(pk=deletion.run_id)
            run.update(state=RunState.RUNNING, finished_at=None, error="", last_batch_at=now)
            again = {"state": DeletionState.RUNNING, "reason": "", "ended_at": None, "ended_label": ""}
            Deletion.objects.filter(pk=deletion.pk).update(**again, **asked)
            deletion.refresh_from_db()
        record("organisation.deletion_begun", organisation, by=by, after={"would_delete": counted})
        mail_administrators(deletion, DeletionNews.BEGUN)
    return deletion


def continue_deletion(deletion: Deletion, *, now: datetime, seconds: float = inf, sleep_ratio: float = 0.0) -> bool:
    """Delete data in batches for up to ``seconds``, then the organisation; return whether the deletion has ended.

    Any number of calls can run at the same time: batches take turns, and each counts into the receipt in its own
    transaction. A new hold, or a person, stops the deletion before the next batch; the organisation then stays
    suspended, with the data that is left. Files are deleted through the outbox. Receipts, erasures, exports and the
    audit log are kept, and the short name stays reserved. After each batch, sleeps ``sleep_ratio`` times as long as the
    batch took.
    """
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        if not delete_one_batch(deletion, now=now) and finish_deletion(deletion, now=now):
            return True
        time.sleep((time.monotonic() - began) * sleep_ratio)
    return False


def lock_deletion(deletion: Deletion) -> AbstractContextManager[bool]:
    """Return a context manager that locks the deletion for this process, and yields whether it was free.

    Two workers could work on one deletion without harm, but each enqueues the next task, so there would never be fewer.
    """
    return lock_if_free(DELETION_LOCK, deletion.pk % 2**31)


@transaction.atomic
def delete_one_batch(deletion: Deletion, *, now: datetime) -> bool:
    """Delete one batch in its own transaction; return whether it deleted anything."""
    share_policies()  # a hold is placed before or after this, never within
    current = lock_running(deletion)
    if current is None or obstacle_to_deletion(current.organisation, now=now):
        return False
    current.run.as_of = now  # holds count as they stand now
    batches = (delete_batch(current.run, step, current.organisation_id, now + EVERYTHING) for step in STEPS)
    return any(batches)


@transaction.atomic
def finish_deletion(deletion: Deletion, *, now: datetime) -> bool:
    """Delete the organisation once it is empty, or stop the deletion; return whether the deletion has ended."""
    lock_policies()
    current = lock_running(deletion)
    if current is None:
        return True
    organisation, run = current.organisation, current.run
    if reason := obstacle_to_deletion(organisation, now=now):
        end_deletion(current, DeletionState.STOPPED, reason=reason, by=SYSTEM, now=now)
        return True
    inside = {"environment": organisation}
    if Conversation.objects.filter(**inside).exists() or Contact.objects.filter(**inside).exists():
        return False  # rows that were being stored when the organisation was suspended
    recipients = deletion_administrators(current)
    queue_files(organisation, now=now)
    by = Caller.of_requester(current.requested_by)
    end_changes_before_deletion(organisation, by=by, now=now)
    journal.add_deletion_entry(organisation, at=now)
    keep_for_parent(organisation, current.parent)
    Deletion.objects.filter(parent=organisation).update(parent=current.parent)  # the organisation above now shows them
    record("organisation.data_deleted", organisation, by=by, after=run.counts)
    environments.delete_organisation(organisation, by=by, now=now)
    end_deletion(current, DeletionState.DONE, by=by, now=now)
    mail_deletion_news(current, DeletionNews.DONE, recipients)
    return True


@transaction.atomic
def stop_deletion(deletion: Deletion, *, by: Caller, now: datetime) -> None:
    """Stop a running deletion before its next batch. Raises ``ValidationError`` if it has ended."""
    lock_policies()
    current = lock_running(deletion)
    if current is None:
        raise ValidationError(_("This deletion has ended already."), code="ended")
    end_deletion(current, DeletionState.STOPPED, reason=StopReason.PERSON, by=by, now=now)


@transaction.atomic
def stop_deletions(*, now: datetime) -> None:
    """Stop every running deletion in a restored database, since somebody can have stopped it after the backup."""
    lock_policies()
    for deletion in Deletion.objects.filter(state=DeletionState.RUNNING).select_related("organisation", "run"):
        end_deletion(deletion, DeletionState.STOPPED, reason=StopReason.BACKUP, by=SYSTEM, now=now)


@transaction.atomic
def reopen_organisation(deletion: Deletion, *, by: Caller, now: datetime) -> None:
    """Abandon a stopped deletion, and resume the organisation with the data that is left in it.

    An organisation that was suspended before the deletion began stays suspended. Raises ``ValidationError`` unless the
    deletion is stopped.
    """
    lock_policies()
    stopped = Deletion.objects.filter(pk=deletion.pk, state=DeletionState.STOPPED)
    current = stopped.select_for_update(of=("self",)).select_related("organisation").first()
    if current is None:
        raise ValidationError(_("Stop the deletion first, then reopen the organisation."), code="not_stopped")
    if not current.was_suspended:
        environments.resume(current.organisation, by=by, now=now)
    current.state, current.ended_at, current.ended_label = DeletionState.REOPENED, now, label_of(by)
    current.save(update_fields=["state", "ended_at", "ended_label"])
    record("organisation.deletion_given_up", current.organisation, by=by)


def find_deletion(caller: Caller, uuid: UUID) -> tuple[Deletion, bool]:
    """Return the deletion, and whether the caller can stop or continue it, or raise ``Http404``.

    People with the permission to delete the organisation can see it and act on it; once it is gone, people with the
    permission to delete the one above it. Whoever requested it can see it even after losing their membership.
    """
    found = Deletion.objects.select_related("parent", "run").filter(uuid=uuid).first()
    if found is None:
        raise Http404
    can_see, can_act = deletion_access(caller, found)
    if not can_see:
        raise Http404
    return found, can_act


def deletion_access(caller: Caller, deletion: Deletion) -> tuple[bool, bool]:
    """Return whether the caller can see a deletion, and whether they can stop or continue it."""
    place = Organisation.objects.filter(pk=deletion.organisation_id).first() or deletion.parent
    can_act = caller.is_superuser if place is None else Permission.DELETE in permissions_in(caller, place)
    has_requested = caller.person is not None and deletion.requested_by_id == caller.person.pk
    return can_act or has_requested, can_act


def lock_running(deletion: Deletion) -> Deletion | None:
    """Return the deletion as it is now, with its row locked, or ``None`` if it is not running.

    Call it after taking the policy lock.
    """
    running = Deletion.objects.filter(pk=deletion.pk, state=DeletionState.RUNNING).select_for_update(of=("self",))
    return running.select_related("organisation", "run", "requested_by").first()


def end_deletion(deletion: Deletion, state: DeletionState, *, reason: str = "", by: Caller, now: datetime) -> None:
    """End a running deletion and its run; if it is stopped, write an audit event and mail the administrators."""
    deletion.state, deletion.reason = state, reason
    deletion.ended_at, deletion.ended_label = now, label_of(by)
    deletion.save(update_fields=["state", "reason", "ended_at", "ended_label"])
    if state == DeletionState.STOPPED:
        record("organisation.deletion_stopped", deletion.organisation, by=by, after={"reason": reason})
        mail_administrators(deletion, DeletionNews.STOPPED)
        engine.close_run(deletion.run, state=RunState.INTERRUPTED)
    else:
        engine.close_run(deletion.run, state=RunState.DONE)


def mail_administrators(deletion: Deletion, news: DeletionNews) -> None:
    """Mail everybody with the permission to delete the organisation about what happened to the deletion."""
    mail_deletion_news(deletion, news, deletion_administrators(deletion))


def deletion_administrators(deletion: Deletion) -> list[int]:
    """Return the ids of the users with the permission to delete the organisation; call it before that is deleted."""
    return list(who_can(Permission.DELETE, deletion.organisation).values_list("pk", flat=True))


def mail_deletion_news(deletion: Deletion, news: str, recipients: list[int]) -> None:
    """Mail these users about what happened to a deletion; the mail links to its page if they can see it."""
    counts = deletion.counted if news == DeletionNews.BEGUN else deletion.run.counts
    context = {"deletion": deletion, "news": news, "counts": counts}
    with transaction.atomic():
        for user in User.objects.filter(pk__in=recipients, is_active=True).order_by("pk"):
            can_see, _can_act = deletion_access(Caller.of(user), deletion)
            mail.send(user, "deletion", {**context, "can_see": can_see})


def check_deletable(organisation: Organisation, *, now: datetime) -> None:
    """Raise ``ValidationError`` if something forbids the deletion of the organisation."""
    if reason := obstacle_to_deletion(organisation, now=now):
        raise ValidationError(reason.label, code=reason)


def obstacle_to_deletion(organisation: Organisation, *, now: datetime) -> StopReason | None:
    """Return what forbids the deletion of the organisation, or ``None``."""
    if Organisation.objects.below(organisation).exclude(pk=organisation.pk).exists():
        return StopReason.PARENT
    if running_export_of(organisation).exists():
        return StopReason.EXPORT
    return StopReason.HELD if Hold.objects.active(now).filter(environment=organisation).exists() else None


def queue_files(organisation: Organisation, *, now: datetime) -> None:
    """Put every file of the environment into the outbox of deletions, and delete its ``Blob`` rows."""
    blobs = Blob.objects.select_for_update().filter(environment=organisation).order_by("pk")
    queued = set(BlobToDelete.objects.filter(environment_id=organisation.pk).values_list("blob_id", flat=True))
    BlobToDelete.objects.add((blob for blob in blobs if blob.pk not in queued), now=now)
    Blob.objects.filter(environment=organisation)._raw_delete("default")
