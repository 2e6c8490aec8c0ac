"""Request an export of an environment, write it part by part, and delete its files.

An export is a copy that the purge does not reach, so it lives for ``EXPORT_DAYS`` at most. Erasing a contact deletes
the exports of their environment, and a restored backup all exports: either could have what is erased by now.
"""

import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from archival.choices import DeletionState, ExportEnd, ExportState
from archival.files.outbox import is_wrong_storage
from archival.models import BlobToDelete, Deletion, EnvironmentExport, ExportPart
from audit.services import label_of, record
from conversations.export.environments import KINDS, Part, Place, ZipArchive, count_readable, manifest_of, write_part
from environments.caller import SYSTEM, Caller
from environments.models import Organisation
from environments.policies.resolve import lock_policies
from web.alone import ENDS_ALL, name_of
from web.background import enqueue_after_commit
from web.clock import database_now
from web.locks import lock_if_free

logger = logging.getLogger(__name__)

RUN: Final = "archival.tasks.write_exports"
EXPORT_LOCK: Final = 0x45_58_50_4F  # one worker at a time
PART_BYTES: Final = 256 * 1024 * 1024  # before compression; a part ends with the conversation that reaches it
PART_FILES: Final = 10_000
PART_SECONDS: Final = 60.0  # after which other tasks and exports get their turn
LEAST_FREE: Final = 4 * PART_BYTES  # bytes that a disk has left beside a part: an export must not fill it
SEEN_EVERY: Final = 2.0  # seconds
ALIVE: Final = (ExportState.RUNNING, ExportState.READY)
TRY_AGAIN_AFTER = timedelta(minutes=1)
MOST_TRIES: Final = 5  # of one part


class Stopped(Exception):
    """The export does not run any more, so its part is not finished."""


# -- Request -----------------------------------------------------------------------------------------


@transaction.atomic
def request_exports(environments: Iterable[Organisation], *, by: Caller, now: datetime) -> list[EnvironmentExport]:
    """Start an export of each environment, and enqueue the task that writes them; the caller has asked for step-up.

    Leaves out environments of which an export is running or that are being deleted. Raises ``ValidationError`` if none
    is left, and ``PermissionDenied`` for anybody but a person.
    """
    person = by.require_person()
    chosen = list(environments)
    counted = {environment.pk: count_readable(environment, now=now) for environment in chosen}
    lock_policies()  # an erasure ends before this, or sees the export
    running = EnvironmentExport.objects.filter(environment__in=chosen, state=ExportState.RUNNING)
    going = Deletion.objects.filter(organisation__in=chosen, state__in=(DeletionState.RUNNING, DeletionState.STOPPED))
    left_out = {*running.values_list("environment_id", flat=True), *going.values_list("organisation_id", flat=True)}
    exports = []
    for environment in (each for each in chosen if each.pk not in left_out):
        export = EnvironmentExport.objects.create(
            environment=environment,
            environment_label=environment.name,
            requested_at=now,
            requested_by=person,
            requested_label=label_of(by),
            counted=counted[environment.pk],
            counts=dict.fromkeys(KINDS, 0),
            place=asdict(Place()),
            worked_at=now,
        )
        record("environment.export_requested", environment, by=by)
        exports.append(export)
    if not exports:
        raise ValidationError(_("There is nothing to export: an export is running already."), code="running")
    enqueue_after_commit(RUN)
    return exports


# -- Write -------------------------------------------------------------------------------------------


def continue_exports() -> bool:
    """Write the next part of the running export that has waited longest; return whether there is more to write now.

    Any number of calls can run at the same time: one of them works, so that exports never take more than one worker
    from the purge. A part is stored with its row, or not at all, so an export whose worker died goes on after its
    latest part. An error of storage is tried again later, five times.
    """
    with lock_if_free(EXPORT_LOCK) as is_alone:
        if not is_alone:
            return False
        export = next_export()
        if export is not None:
            _continue(export)
        return next_export() is not None


def next_export() -> EnvironmentExport | None:
    """Return the running export on which nobody has worked for longest, without those that wait after an error."""
    running = EnvironmentExport.objects.filter(state=ExportState.RUNNING)
    due = running.filter(Q(tries=0) | Q(worked_at__lt=database_now() - TRY_AGAIN_AFTER))
    return due.order_by("worked_at", "pk").first()


def _continue(export: EnvironmentExport) -> None:
    environment = Organisation.objects.filter(pk=export.environment_id).first()
    if environment is None:
        fail_export(export, ExportEnd.GONE)
        return
    try:
        _write_next_part(export, environment)
    except ENDS_ALL:
        raise
    except Stopped:
        logger.info("Export %s was stopped.", export.pk)
    except Exception as error:  # storage backends raise what they like
        _try_again(export, error)


def _write_next_part(export: EnvironmentExport, environment: Organisation) -> None:
    check_storage()
    place, number, now = Place(**export.place), export.parts.count() + 1, database_now()
    with tempfile.TemporaryFile() as packed:
        with ZipArchive(packed) as archive:
            part = write_part(environment, archive, place, now=now, is_full=_limit(export))
            archive.finish(manifest_of(part, environment, now=now, number=number, is_last=place.is_end))
        size = packed.tell()
        packed.seek(0)
        key = default_storage.save(f"{environment.pk}/{uuid.uuid4().hex}", File(packed))
    with _deleted_unless_committed(key):
        store_part(export, part, place, ExportPart(export=export, number=number, key=key, size=size))


def check_storage() -> None:
    """Raise ``OSError`` if storage has none of the latest files, or if a disk has no room for a part."""
    if is_wrong_storage():
        raise OSError("Storage has none of the latest files.")
    folders = [tempfile.gettempdir()]
    with suppress(NotImplementedError):  # a bucket
        folders.append(default_storage.path(""))
    for folder in filter(os.path.exists, folders):
        if shutil.disk_usage(folder).free < LEAST_FREE + PART_BYTES:
            raise OSError(f"{folder} has no room for a part of an export.")


def _limit(export: EnvironmentExport) -> Callable[[Part], bool]:
    """Return the function that ends a part; it also stores the progress. Raises ``Stopped``."""
    before = export.counts["conversations"]
    began = seen = time.monotonic()

    def is_full(part: Part) -> bool:
        nonlocal seen
        if time.monotonic() - seen > SEEN_EVERY:
            seen = time.monotonic()
            show_progress(export, written=before + part.counts["conversations"])
        return part.size >= PART_BYTES or len(part.files) >= PART_FILES or time.monotonic() - began >= PART_SECONDS

    return is_full


def show_progress(export: EnvironmentExport, *, written: int) -> None:
    """Store how many conversations are written. Raises ``Stopped``."""
    if not EnvironmentExport.objects.filter(pk=export.pk, state=ExportState.RUNNING).update(written=written):
        raise Stopped


@contextmanager
def _deleted_unless_committed(key: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        default_storage.delete(key)
        raise


@transaction.atomic
def store_part(export: EnvironmentExport, part: Part, place: Place, stored: ExportPart) -> None:
    """Store the row of a part, and end the export after its last one. Raises ``Stopped``.

    The lock is the one that an erasure takes: it ends before this, and the export does not run any more, or it sees the
    part.
    """
    current = lock_running(export)
    if current is None:
        raise Stopped
    stored.save(force_insert=True)
    current.counts = {kind: current.counts[kind] + part.counts[kind] for kind in KINDS}
    current.missing_count += len(part.missing)
    current.too_long_count += len(part.too_long)
    current.place, current.written, current.tries = asdict(place), current.counts["conversations"], 0
    current.worked_at = database_now()
    if place.is_end:
        _make_ready(current)
    current.save()


def _make_ready(export: EnvironmentExport) -> None:
    now = database_now()
    older = EnvironmentExport.objects.filter(environment_id=export.environment_id, state=ExportState.READY)
    withdraw_exports(older, ExportEnd.REPLACED, by=SYSTEM, now=now)
    export.state, export.ended_at = ExportState.READY, now
    export.expires_at = now + timedelta(days=settings.EXPORT_DAYS)
    _record("environment.exported", export, by=Caller.of_requester(export.requested_by), after=export.counts)


def _try_again(export: EnvironmentExport, error: Exception) -> None:
    logger.error("Export %s stopped for now: %s.", export.pk, name_of(error))
    export.tries += 1
    EnvironmentExport.objects.filter(pk=export.pk).update(tries=export.tries, worked_at=database_now())
    if export.tries >= MOST_TRIES:
        fail_export(export, ExportEnd.STORAGE)


@transaction.atomic
def fail_export(export: EnvironmentExport, reason: ExportEnd) -> None:
    """End a running export that cannot be written, and delete its parts."""
    if (current := lock_running(export)) is not None:
        _end(current, ExportState.FAILED, reason, action="environment.export_failed", by=SYSTEM, now=database_now())


# -- Delete ------------------------------------------------------------------------------------------


@transaction.atomic
def withdraw_exports(exports: QuerySet[EnvironmentExport], reason: ExportEnd, *, by: Caller, now: datetime) -> int:
    """Stop those that run, delete the files of those that are ready, and return how many these are."""
    alive = exports.filter(state__in=ALIVE).select_for_update(of=("self",))
    found = list(alive.order_by("pk"))
    for export in found:
        _end(export, ExportState.WITHDRAWN, reason, action="environment.export_withdrawn", by=by, now=now)
    return len(found)


@transaction.atomic
def expire_exports(*, now: datetime) -> None:
    """Delete the files of exports that have expired."""
    expired = EnvironmentExport.objects.filter(state=ExportState.READY, expires_at__lte=now)
    for export in expired.select_for_update(of=("self",), skip_locked=True).order_by("pk"):
        _end(export, ExportState.EXPIRED, None, action="environment.export_expired", by=SYSTEM, now=now)


def keep_for_parent(organisation: Organisation, parent: Organisation | None) -> None:
    """Leave the exports of an environment, or of what was below it, to the organisation above; for its deletion."""
    EnvironmentExport.objects.filter(environment=organisation).update(parent=parent)
    EnvironmentExport.objects.filter(parent=organisation).update(parent=parent)


def lock_running(export: EnvironmentExport) -> EnvironmentExport | None:
    """Return the export as it is now, or ``None`` if it does not run, with the rows of its environment locked.

    Everybody who locks several of them does so in this order.
    """
    of_environment = EnvironmentExport.objects.filter(environment=export.environment_id, state__in=ALIVE)
    locked = list(of_environment.select_for_update(of=("self",)).order_by("pk"))
    return next((each for each in locked if each.pk == export.pk and each.is_running), None)


def _end(
    export: EnvironmentExport,
    state: ExportState,
    reason: ExportEnd | None,
    *,
    action: str,
    by: Caller,
    now: datetime,
) -> None:
    """End a locked export, queue its files for deletion, and record how many these are.

    Whoever requested it is told, unless it expired or was replaced as announced, or somebody deleted it on purpose.
    """
    parts = list(export.parts.all())
    for part in parts:
        BlobToDelete.objects.add_file(part.key, environment_id=export.environment_id, size=part.size, now=now)
    export.parts.all().delete()
    is_news = reason in (ExportEnd.STORAGE, ExportEnd.GONE, ExportEnd.ERASURE, ExportEnd.BACKUP)
    export.state, export.reason = state, reason or ""
    export.ended_at, export.is_announced = export.ended_at or now, not is_news
    export.save(update_fields=["state", "reason", "ended_at", "is_announced"])
    after = {"files": len(parts), "bytes": sum(part.size for part in parts)}
    _record(action, export, by=by, after=after | ({"reason": reason.value} if reason else {}))


def _record(action: str, export: EnvironmentExport, *, by: Caller, after: dict[str, int | str]) -> None:
    """Record an event where those who have access to the export read it."""
    record(action, place_of(export), by=by, after={"environment": export.environment_label, **after})


def place_of(export: EnvironmentExport) -> Organisation | None:
    """Return the environment, or the organisation above it once it is deleted."""
    return Organisation.objects.filter(pk=export.environment_id).first() or export.parent
