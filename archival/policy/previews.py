"""Count what a change would delete, and refuse to save it if clearly more would be deleted than the page showed."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext as _
from psycopg2.errors import QueryCanceled

from archival.choices import COUNTS
from archival.policy.counting import PurgeCounts, count_purgeable
from archival.policy.what_if import Effect, effects_of
from environments.models import Organisation
from environments.policies.retention import Retention
from web.clock import cutoff

TIMEOUT_SECONDS = 20
SALT = "archival.policy.previews"
SHOWN_FOR = timedelta(hours=1)
MORE_SHARE, MORE_ROWS = 0.10, 100  # the numbers shown are stale once more rows than both were added


class StalePreview(ValidationError):
    """More would be deleted than was shown; the page has to show the new numbers before it saves."""


@dataclass(frozen=True)
class Preview:
    """What a change would permanently delete of the data stored at the instant ``now``.

    It counts what will be past the cutoff at ``counted_for``, the earliest moment at which the change can take effect:
    ``COOLING_OFF_HOURS`` after ``now``, or ``starts_at`` if that is later.

    ``total`` and each of ``environments`` have ``conversations, messages, variables, attachments, contacts, bytes,
    held, oldest, newest`` (``counting.PurgeCounts``); environments are those whose limit the change shortens, the one
    with the most rows first. ``token`` goes into the form as a hidden field, and from there to
    ``change_retention(shown=…)``.
    """

    organisation: Organisation
    to: Retention
    starts_at: datetime | None
    now: datetime
    counted_for: datetime
    total: PurgeCounts
    environments: list[PurgeCounts] = field(default_factory=list)
    effects: dict[int, Effect] = field(default_factory=dict)  # every environment below, by id
    new_parent: Organisation | None = None  # of a move
    token: str = ""

    @property
    def is_tighter(self) -> bool:
        return any(effect.is_tighter for effect in self.effects.values())

    @property
    def loses_something(self) -> bool:
        """Whether anything would be deleted, now or once a hold on it is released."""
        return self.is_tighter and bool(self.total.rows or self.total.held)

    @property
    def waits(self) -> bool:
        """Whether the change takes effect later than at once."""
        return self.counted_for > self.now

    @property
    def shortened(self) -> list[int]:
        """The ids of the environments whose limit the change shortens."""
        return [pk for pk, effect in self.effects.items() if effect.is_tighter]

    @property
    def cut(self) -> int | None:
        """The shortest new limit of those environments in days, or ``None`` if there are none."""
        return min((self.effects[pk].after or 0 for pk in self.shortened), default=None)

    @property
    def counts(self) -> dict[str, int]:
        """The totals by kind, for the audit log and mails."""
        return {kind: getattr(self.total, kind) for kind in (*COUNTS, "held")}


def preview_change(
    organisation: Organisation,
    to: Retention,
    now: datetime,
    *,
    new_parent: Organisation | None = None,
    starts_at: datetime | None = None,
) -> Preview:
    """Return exact counts of what the purge would delete after a change of retention, or after a move.

    Reads only, in one snapshot, with the purge's own conditions. The change takes effect at ``starts_at`` at the
    earliest. Raises ``ValidationError`` if counting takes longer than 20 seconds.
    """
    counted_for = max(now + timedelta(hours=settings.COOLING_OFF_HOURS), starts_at or now)
    with ReadOnly():
        found = effects_of(organisation, to, new_parent=new_parent)
        counted = count_purgeable(cutoffs_of(found, now=now, counted_for=counted_for), now=now)
    counts = sorted(counted.values(), key=lambda each: (-each.rows, each.label))
    total = add_up(counts, organisation)
    preview = Preview(organisation, to, starts_at, now, counted_for, total, counts, found, new_parent)
    shown = {
        "change": identify_change(preview),
        "rows": total.rows,
        "at": now.isoformat(),
        "for": counted_for.isoformat(),
    }
    return replace(preview, token=signing.dumps(shown, salt=SALT, compress=True))


def identify_change(preview: Preview) -> list[Any]:
    """Return the values by which a token recognises the change that it was made for."""
    starts_at = preview.starts_at and preview.starts_at.isoformat()
    to = preview.to
    new_parent = preview.new_parent and preview.new_parent.pk
    return [preview.organisation.pk, to.archival, to.days, to.locked, starts_at, new_parent]


def cutoffs_of(effects: dict[int, Effect], *, now: datetime, counted_for: datetime) -> dict[int, datetime]:
    """Return the cutoff at ``counted_for`` of each environment whose limit the change shortens, by id.

    No cutoff is after ``now``, so what comes in later is not counted.
    """
    return {
        pk: min(cutoff(counted_for, effect.after), now)
        for pk, effect in effects.items()
        if effect.is_tighter and effect.after is not None
    }


def add_up(counts: list[PurgeCounts], organisation: Organisation) -> PurgeCounts:
    """Return the sum over all environments, with the organisation's id and name."""
    return PurgeCounts(
        organisation.pk,
        organisation.name,
        **{kind: sum(getattr(each, kind) for each in counts) for kind in (*COUNTS, "held")},
        oldest=min((each.oldest for each in counts if each.oldest), default=None),
        newest=max((each.newest for each in counts if each.newest), default=None),
    )


def check_preview_token(token: str, current: Preview) -> None:
    """Raise ``StalePreview`` if clearly more would be deleted now than the preview with this token showed.

    Clearly more is over 100 rows and over 10% more. Everything is counted again with the cutoffs of that instant, so
    what has merely aged or come in since does not count. A token of another change (its lock and start count too), or
    one older than an hour, is stale as well.
    """
    try:
        shown: dict[str, Any] = signing.loads(token, salt=SALT, max_age=SHOWN_FOR)
    except signing.BadSignature:
        raise StalePreview(_("Look at what would be deleted, then save again."), code="stale_preview") from None
    if shown["change"] != identify_change(current):
        raise StalePreview(
            _("These numbers were for another change. Look at the new ones, then save again."), code="stale_preview"
        )
    then, counted_for = datetime.fromisoformat(shown["at"]), datetime.fromisoformat(shown["for"])
    if more := rows_beyond(current, rows=shown["rows"], then=then, counted_for=counted_for):
        message = _(
            "Now %(more)s more rows would be deleted than were shown. Look at the new numbers, then save again."
        )
        raise StalePreview(message % {"more": more}, code="stale_preview")


def check_same_effects(preview: Preview, now_effects: dict[int, Effect]) -> None:
    """Raise ``StalePreview`` if a change has other effects now than when ``preview`` was counted."""
    if now_effects != preview.effects:
        raise StalePreview(
            _("Another change was saved just now. Look at the new numbers, then save again."), code="stale_preview"
        )


def rows_beyond(current: Preview, *, rows: int, then: datetime, counted_for: datetime) -> int:
    """Return how many rows beyond ``rows`` would be deleted by a count as of ``then``; 0 if hardly more."""
    found = cutoffs_of(current.effects, now=then, counted_for=counted_for)
    more = sum(each.rows for each in count_purgeable(found, now=then).values()) - rows
    return more if more > MORE_ROWS and more > rows * MORE_SHARE else 0


class ReadOnly:
    """A context manager: a read-only transaction, or savepoint, in which each statement stops after 20 seconds."""

    def __enter__(self) -> None:
        self.block = transaction.atomic()
        self.block.__enter__()
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = %s", [f"{TIMEOUT_SECONDS}s"])
            cursor.execute("SET LOCAL work_mem = '64MB'")  # so that a million rows are counted without using the disk

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        transaction.set_rollback(True)  # undoes the settings as well
        self.block.__exit__(kind, error, traceback)
        if isinstance(error, OperationalError) and isinstance(error.__cause__, QueryCanceled):
            raise ValidationError(
                _("Counting takes too long at the moment. Try again in a few minutes."), code="preview_timeout"
            ) from error
