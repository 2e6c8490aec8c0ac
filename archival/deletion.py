"""Delete an organisation without children for good: of an environment everything it has, unless a hold is there."""

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Sum
from django.utils.translation import gettext as _

from archival import journal, purge
from archival.choices import COUNTS, RunState
from archival.models import BlobToDelete, Hold, PurgeRun
from archival.older import delete_batch, lock_contacts, lock_conversations
from audit.services import Actor, record
from conversations.models import Attachment, Blob, Contact, Conversation, ConversationVariable, Message
from environments import services as environments
from environments.models import Organisation
from environments.policies import lock_policies

EVERYTHING = timedelta(hours=2)  # from now: clocks of conversations are rounded up to the hour


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
    """Delete the organisation and everything in it, in short batches, and return the run with its receipt.

    First it is suspended, so that nothing comes in any more. Files follow through the outbox; receipts, erasures and
    the audit log stay, and its short name is free afterwards. The caller has shown ``count_organisation`` and asked for
    step-up and the name. Raises ``ValidationError`` where something stands below it, and where a hold is active in it,
    also for one that was placed meanwhile: the organisation then stays suspended with whatever is left in it.
    """
    with transaction.atomic():
        lock_policies()
        check_deletable(organisation, now=now)
        environments.suspend(organisation, by=by, now=now)
    run = PurgeRun.objects.create(as_of=now)
    try:
        for lock in (lock_conversations, lock_contacts):
            while delete_batch(run, lock, organisation.pk, now + EVERYTHING):
                check_deletable(organisation, now=now)
        with transaction.atomic():
            lock_policies()
            check_deletable(organisation, now=now)
            queue_files(organisation, now=now)
            Hold.objects.filter(environment=organisation).delete()  # ended, all of them
            journal.note_deletion(organisation, at=now)
            run.refresh_from_db()
            record(
                "organisation.data_deleted", organisation, by=by, after={kind: getattr(run, kind) for kind in COUNTS}
            )
            environments.delete_organisation(organisation, by=by)
    except Exception as error:
        purge.close(run, state=RunState.FAILED, error=type(error).__name__)
        raise
    return purge.close(run, state=RunState.DONE)


def check_deletable(organisation: Organisation, *, now: datetime) -> None:
    """Raise ``ValidationError`` where the organisation may not be deleted."""
    if Organisation.objects.below(organisation).exclude(pk=organisation.pk).exists():
        raise ValidationError(_("Something stands below this organisation. Delete or move that first."), code="parent")
    if Hold.objects.active(now).filter(environment=organisation).exists():
        raise ValidationError(_("A legal hold is active here: nothing more is deleted."), code="held")


def queue_files(organisation: Organisation, *, now: datetime) -> None:
    """Put every file of the environment into the outbox, and drop the rows that stand for them."""
    blobs = Blob.objects.select_for_update().filter(environment=organisation).order_by("pk")
    queued = set(BlobToDelete.objects.filter(environment_id=organisation.pk).values_list("blob_id", flat=True))
    BlobToDelete.objects.bulk_create(
        (
            BlobToDelete(
                blob_id=blob.pk,
                key=blob.key,
                environment_id=organisation.pk,
                size=blob.size,
                queued_at=now,
                next_try_at=now,
            )
            for blob in blobs
            if blob.pk not in queued
        ),
        batch_size=1000,
    )
    Blob.objects.filter(environment=organisation)._raw_delete("default")
