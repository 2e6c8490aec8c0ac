"""Delete an organisation without children for good: of an environment everything it has, unless a hold is there."""

import time
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from math import inf
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Sum
from django.http import Http404
from django.utils.translation import gettext as _

from accounts import mail
from accounts.models import User
from archival.choices import DeletionNews, DeletionState, RunPurpose, RunState, StopReason
from archival.engine import run as purge
from archival.engine.delete_older import delete_batch, take_contacts, take_conversations
from archival.engine.statements import SHARE_POLICIES
from archival.journal import entries as journal
from archival.models import BlobToDelete, Deletion, Hold, PurgeRun
from archival.policy.services import end_for_deletion
from audit.services import Actor, label_of, record
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from environments.access import permissions_in, who_may
from environments.caller import Caller, person_of
from environments.choices import Permission
from environments.models import Organisation
from environments.policies.resolve import POLICY_LOCK, lock_policies
from environments.tree import services as environments
from web.background import enqueue_after_commit
from web.locks import lock_if_free

DELETION_LOCK = 0x44_45_4C_45  # with the id of a deletion: one worker at a time
TAKES = (take_conversations, take_contacts)  # in this order: a contact waits for its conversations
OPEN = (DeletionState.RUNNING, DeletionState.STOPPED)
EVERYTHING = timedelta(hours=2)  # from now: clocks of conversations are rounded up


def count_organisation(organisation: Organisation) -> dict[str, int]:
    """Count what deleting the organisation would delete; keys as on a receipt."""
    inside: dict[str, Any] = {"conversation__environment": organisation}
    attachments = Attachment.objects.filter(**inside)
    return {
        "conversations": Conversation.objects.filter(environment=organisation).count(),
        "messages": Message.objects.filter(**inside).count(),
        "variables": ConversationVariable.objects.filter(**inside).count(),
        "attachments": attachments.count(),
        "contacts": Contact.objects.filter(environment=organisation).count(),
        "bytes": attachments.aggregate(bytes=Sum("blob__size", default=0))["bytes"],
    }


def delete_organisation(organisation: Organisation, *, by: Actor | None, now: datetime) -> PurgeRun:
    """Delete the organisation and everything in it before this returns, and return the run with its receipt.

    The caller has shown ``count_organisation`` and asked for step-up and the name. Raises ``ValidationError`` as
    ``begin_deletion`` does, and if it was stopped meanwhile.
    """
    deletion = begin_deletion(organisation, by=by, now=now)
    carry_on(deletion, now=now)
    deletion.refresh_from_db()
    if deletion.state != DeletionState.DONE:
        raise ValidationError(deletion.get_reason_display(), code=deletion.reason)
    return PurgeRun.objects.get(deletion=deletion)


@transaction.atomic
def ask_for_deletion(organisation: Organisation, *, by: Caller, now: datetime) -> Deletion:
    """Begin as below, and leave the work to the workers."""
    deletion = begin_deletion(organisation, by=by, now=now)
    enqueue_after_commit("archival.tasks.delete_organisation", deletion.pk)
    return deletion


def begin_deletion(organisation: Organisation, *, by: Actor | None, now: datetime) -> Deletion:
    """Suspend the organisation, so that nothing comes in any more, and note that it is to go; ``carry_on`` does it.

    A deletion that was stopped here goes on. Raises ``ValidationError`` where something stands below the organisation,
    where a hold is active in it, and while it is being deleted already.
    """
    counted = count_organisation(organisation)
    with transaction.atomic():
        lock_policies()
        organisation.refresh_from_db()
        check_deletable(organisation, now=now)
        was_suspended = organisation.suspended_at is not None
        environments.suspend(organisation, by=by, now=now)
        person = person_of(by)
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
            raise ValidationError(_("It is being deleted already."), code="running")
        else:
            run = PurgeRun.objects.filter(pk=deletion.run_id)
            run.update(state=RunState.RUNNING, finished_at=None, error="", last_batch_at=now)
            again = {"state": DeletionState.RUNNING, "reason": "", "ended_at": None, "ended_label": ""}
            Deletion.objects.filter(pk=deletion.pk).update(**again, **asked)
            deletion.refresh_from_db()
        record("organisation.deletion_begun", organisation, by=by, after={"would_delete": counted})
        announce(deletion, DeletionNews.BEGUN)
    return deletion


def carry_on(deletion: Deletion, *, now: datetime, seconds: float = inf, sleep_ratio: float = 0.0) -> bool:
    """Delete in short batches for so many seconds, and then the organisation; return whether it has ended.

    May be called any number of times, also beside itself: batches take turns, and each counts into the receipt in its
    own transaction. A hold that is placed meanwhile, or a person, stops it before the next batch: the organisation then
    stays suspended with whatever is left in it. Files follow through the outbox; receipts, erasures and the audit log
    stay, and the short name is free afterwards. After a batch it rests ``sleep_ratio`` times as long as that took.
    """
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        if not delete_some(deletion, now=now) and finish(deletion, now=now):
            return True
        time.sleep((time.monotonic() - began) * sleep_ratio)
    return False


def alone_at(deletion: Deletion) -> AbstractContextManager[bool]:
    """Tell whether no other worker is at this deletion; none begins while the block runs, or until this process dies.

    Two would do no harm, but each leaves a task for the rest behind, and so they would never become fewer.
    """
    return lock_if_free(DELETION_LOCK, deletion.pk % 2**31)


@transaction.atomic
def delete_some(deletion: Deletion, *, now: datetime) -> bool:
    """Delete one batch; return whether there was anything, and nothing that stops it."""
    with connection.cursor() as cursor:
        cursor.execute(SHARE_POLICIES, {"lock": POLICY_LOCK})  # a hold is placed before or after this, never within
    current = lock_running(deletion)
    if current is None or why_not(current.organisation, now=now):
        return False
    current.run.as_of = now  # holds count as they stand now
    batches = (delete_batch(current.run, take, current.organisation_id, now + EVERYTHING) for take in TAKES)
    return any(batches)


@transaction.atomic
def finish(deletion: Deletion, *, now: datetime) -> bool:
    """Delete the organisation itself, or stop, if it is time for either; return whether the deletion has ended."""
    lock_policies()
    current = lock_running(deletion)
    if current is None:
        return True
    organisation, run = current.organisation, current.run
    if reason := why_not(organisation, now=now):
        end(current, DeletionState.STOPPED, reason=reason, by=None, now=now)
        return True
    inside = {"environment": organisation}
    if Conversation.objects.filter(**inside).exists() or Contact.objects.filter(**inside).exists():
        return False  # what was being stored when it was suspended
    people = people_to_tell(current)
    queue_files(organisation, now=now)
    by = current.requested_by
    end_for_deletion(organisation, by=by, now=now)
    journal.note_deletion(organisation, at=now)
    Deletion.objects.filter(parent=organisation).update(parent=current.parent)  # who stands above looks after theirs
    record("organisation.data_deleted", organisation, by=by, after=run.counts)
    environments.delete_organisation(organisation, by=by, now=now)
    end(current, DeletionState.DONE, by=by, now=now)
    mail_news(current, DeletionNews.DONE, people)
    return True


@transaction.atomic
def stop_deletion(deletion: Deletion, *, by: Caller, now: datetime) -> None:
    """Stop before the next batch. Raises ``ValidationError`` if it has ended."""
    lock_policies()
    current = lock_running(deletion)
    if current is None:
        raise ValidationError(_("It has ended already."), code="ended")
    end(current, DeletionState.STOPPED, reason=StopReason.PERSON, by=by, now=now)


@transaction.atomic
def stop_all(*, now: datetime) -> None:
    """Stop what was running when a backup was taken: somebody may have thought better of it since."""
    lock_policies()
    for deletion in Deletion.objects.filter(state=DeletionState.RUNNING).select_related("organisation", "run"):
        end(deletion, DeletionState.STOPPED, reason=StopReason.BACKUP, by=None, now=now)


@transaction.atomic
def reopen(deletion: Deletion, *, by: Caller, now: datetime) -> None:
    """Give up a deletion that was stopped: the organisation opens again with what is left in it.

    One that was suspended before it began stays so. Raises ``ValidationError`` unless the deletion is stopped.
    """
    lock_policies()
    stopped = Deletion.objects.filter(pk=deletion.pk, state=DeletionState.STOPPED)
    current = stopped.select_for_update(of=("self",)).select_related("organisation").first()
    if current is None:
        raise ValidationError(_("It is not stopped."), code="not_stopped")
    if not current.was_suspended:
        environments.resume(current.organisation, by=by, now=now)
    current.state, current.ended_at, current.ended_label = DeletionState.REOPENED, now, label_of(by)
    current.save(update_fields=["state", "ended_at", "ended_label"])
    record("organisation.deletion_given_up", current.organisation, by=by)


def reach_deletion(caller: Caller, uuid: UUID) -> tuple[Deletion, bool]:
    """Return a deletion that the caller can see, and whether they can act on it; anybody else gets ``Http404``.

    Who can delete the organisation, or once it is gone whatever stood above it, sees it and acts on it; whoever asked
    for it sees it even once they have no place there any more.
    """
    found = Deletion.objects.select_related("parent", "run").filter(uuid=uuid).first()
    if found is None:
        raise Http404
    may_see, may_act = rights(caller, found)
    if not may_see:
        raise Http404
    return found, may_act


def rights(caller: Caller, deletion: Deletion) -> tuple[bool, bool]:
    """Return whether the caller can see a deletion, and whether they can act on it."""
    place = Organisation.objects.filter(pk=deletion.organisation_id).first() or deletion.parent
    may_act = caller.is_superuser if place is None else Permission.DELETE in permissions_in(caller, place)
    has_asked = caller.person is not None and deletion.requested_by_id == caller.person.pk
    return may_act or has_asked, may_act


def lock_running(deletion: Deletion) -> Deletion | None:
    """Return the deletion as it is now, locked, if it is running; call after taking the lock of policies."""
    running = Deletion.objects.filter(pk=deletion.pk, state=DeletionState.RUNNING).select_for_update(of=("self",))
    return running.select_related("organisation", "run", "requested_by").first()


def end(deletion: Deletion, state: DeletionState, *, reason: str = "", by: Actor | None, now: datetime) -> None:
    """End a running deletion and its run; one that stops says so in the audit log and by mail."""
    deletion.state, deletion.reason = state, reason
    deletion.ended_at, deletion.ended_label = now, label_of(by)
    deletion.save(update_fields=["state", "reason", "ended_at", "ended_label"])
    if state == DeletionState.STOPPED:
        record("organisation.deletion_stopped", deletion.organisation, by=by, after={"reason": reason})
        announce(deletion, DeletionNews.STOPPED)
        purge.close(deletion.run, state=RunState.INTERRUPTED)
    else:
        purge.close(deletion.run, state=RunState.DONE)


def announce(deletion: Deletion, news: DeletionNews) -> None:
    """Mail those who have permission to delete the organisation what becomes of it."""
    mail_news(deletion, news, people_to_tell(deletion))


def people_to_tell(deletion: Deletion) -> list[int]:
    """Return the ids of those who have permission to delete the organisation; ask before it is gone."""
    return list(who_may(Permission.DELETE, deletion.organisation).values_list("pk", flat=True))


def mail_news(deletion: Deletion, news: str, people: list[int]) -> None:
    """Mail these people what became of a deletion; its address is in the mail of those who may see it by now."""
    counts = deletion.counted if news == DeletionNews.BEGUN else deletion.run.counts
    context = {"deletion": deletion, "news": news, "counts": counts}
    with transaction.atomic():
        for user in User.objects.filter(pk__in=people, is_active=True).order_by("pk"):
            may_see, _may_act = rights(Caller.of(user), deletion)
            mail.send(user, "deletion", {**context, "may_see": may_see})


def check_deletable(organisation: Organisation, *, now: datetime) -> None:
    """Raise ``ValidationError`` where the organisation may not be deleted."""
    if reason := why_not(organisation, now=now):
        raise ValidationError(reason.label, code=reason)


def why_not(organisation: Organisation, *, now: datetime) -> StopReason | None:
    """Return what forbids to delete the organisation, if something does."""
    if Organisation.objects.below(organisation).exclude(pk=organisation.pk).exists():
        return StopReason.PARENT
    return StopReason.HELD if Hold.objects.active(now).filter(environment=organisation).exists() else None


def queue_files(organisation: Organisation, *, now: datetime) -> None:
    """Put every file of the environment into the outbox, and drop the rows that stand for them."""
    blobs = Blob.objects.select_for_update().filter(environment=organisation).order_by("pk")
    queued = set(BlobToDelete.objects.filter(environment_id=organisation.pk).values_list("blob_id", flat=True))
    BlobToDelete.objects.add((blob for blob in blobs if blob.pk not in queued), now=now)
    Blob.objects.filter(environment=organisation)._raw_delete("default")
