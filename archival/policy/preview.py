"""Count what a change would delete before it is saved, and refuse to save if much more would be deleted by then."""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext as _
from psycopg2.errors import QueryCanceled

from archival.choices import COUNTS
from archival.policy.counting import Going, count_going
from archival.policy.what_if import Effect, effects
from environments.cutoffs import cutoff
from environments.models import Organisation
from environments.policies.retention import Retention

TIMEOUT_SECONDS = 20
SALT = "archival.policy.preview"
SHOWN_FOR = timedelta(hours=1)
MORE_SHARE, MORE_ROWS = 0.10, 100  # if more than both are added, the numbers shown are stale


class StalePreview(ValidationError):
    """More would be deleted than was shown; the new numbers must be shown before saving."""


@dataclass(frozen=True)
class Preview:
    """What a change would permanently delete, of what there is at the instant ``now``.

    It counts what will be past the cutoff at ``counted_for``, the earliest moment at which the change can take effect:
    ``COOLING_OFF_HOURS`` after ``now``, or ``starts_at`` if that is later.

    ``total`` and each of ``environments`` have ``conversations, messages, variables, attachments, contacts, bytes,
    held, oldest, newest`` (``counting.Going``); environments are those that the change makes stricter, the
    most rows first. ``token`` goes into the form as a hidden field and comes back to ``change_retention(shown=…)``.
    """

    organisation: Organisation
    to: Retention
    starts_at: datetime | None
    now: datetime
    counted_for: datetime
    total: Going
    environments: list[Going] = field(default_factory=list)
    effects: dict[int, Effect] = field(default_factory=dict)  # every environment below, by id
    token: str = ""

    @property
    def is_tighter(self) -> bool:
        return any(effect.is_tighter for effect in self.effects.values())

    @property
    def loses_something(self) -> bool:
        """Whether anything would be deleted, now or once a hold on it is released."""
        return self.is_tighter and bool(self.total.rows or self.total.held)

    @property
    def shortened(self) -> list[int]:
        """The ids of the environments that the change makes stricter."""
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
    """Count exactly what would go if the organisation were set to this; reads only, in one snapshot.

    ``starts_at`` is when the change takes effect at the earliest. Counts come from the purge's own conditions. Raises
    ``ValidationError`` if counting takes longer than 20 seconds.
    """
    counted_for = max(now + timedelta(hours=settings.COOLING_OFF_HOURS), starts_at or now)
    with ReadOnly():
        found = effects(organisation, to, new_parent=new_parent)
        counted = count_going(cutoffs(found, now=now, counted_for=counted_for), now=now)
    going = sorted(counted.values(), key=lambda each: (-each.rows, each.label))
    total = total_of(going, organisation)
    made = Preview(organisation, to, starts_at, now, counted_for, total, going, found)
    shown = {"change": identity(made), "rows": total.rows, "at": now.isoformat(), "for": counted_for.isoformat()}
    return replace(made, token=signing.dumps(shown, salt=SALT, compress=True))


def identity(preview: Preview) -> list[Any]:
    """Return what identifies a change in a token."""
    starts_at = preview.starts_at and preview.starts_at.isoformat()
    to = preview.to
    return [preview.organisation.pk, to.archival, to.days, to.locked, starts_at]


def cutoffs(effects: dict[int, Effect], *, now: datetime, counted_for: datetime) -> dict[int, datetime]:
    """Return the cutoff at ``counted_for`` of each environment that the change makes stricter, by id.

    It is never after ``now``: what comes in later is not counted.
    """
    return {
        pk: min(cutoff(counted_for, effect.after), now)
        for pk, effect in effects.items()
        if effect.is_tighter and effect.after is not None
    }


def total_of(going: list[Going], organisation: Organisation) -> Going:
    """Return the sum over all environments, with the organisation's id and name."""
    return Going(
        organisation.pk,
        organisation.name,
        **{kind: sum(getattr(each, kind) for each in going) for kind in (*COUNTS, "held")},
        oldest=min((each.oldest for each in going if each.oldest), default=None),
        newest=max((each.newest for each in going if each.newest), default=None),
    )


def check_shown(token: str, current: Preview) -> None:
    """Raise ``StalePreview`` if more than 10% and 100 rows beyond what ``token`` showed would be deleted now.

    Everything is counted again with the cutoffs of that instant, so what has merely aged or come in since does not
    count. A token of another change (lock and start included), or older than an hour, is stale too.
    """
    try:
        shown: dict[str, Any] = signing.loads(token, salt=SALT, max_age=SHOWN_FOR)
    except signing.BadSignature:
        raise StalePreview(_("Look at what would be deleted, then save again."), code="stale_preview") from None
    if shown["change"] != identity(current):
        raise StalePreview(
            _("These numbers were for another change. Look at the new ones, then save again."), code="stale_preview"
        )
    then, counted_for = datetime.fromisoformat(shown["at"]), datetime.fromisoformat(shown["for"])
    if more := grown(current, rows=shown["rows"], then=then, counted_for=counted_for):
        message = _(
            "Now %(more)s more rows would be deleted than were shown. Look at the new numbers, then save again."
        )
        raise StalePreview(message % {"more": more}, code="stale_preview")


def check_unchanged(going: Preview, now_effects: dict[int, Effect]) -> None:
    """Raise ``StalePreview`` if a change has other effects now than when ``going`` was counted."""
    if now_effects != going.effects:
        raise StalePreview(
            _("Another change was saved just now. Look at the new numbers, then save again."), code="stale_preview"
        )


def grown(current: Preview, *, rows: int, then: datetime, counted_for: datetime) -> int:
    """Return how many more rows would be deleted than ``rows``, counted at ``then``; 0 if hardly more."""
    found = cutoffs(current.effects, now=then, counted_for=counted_for)
    more = sum(each.rows for each in count_going(found, now=then).values()) - rows
    return more if more > MORE_ROWS and more > rows * MORE_SHARE else 0


class ReadOnly:
    """Context of a read-only transaction, or a part of one, that stops any statement after 20 seconds."""

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


def preview_as_json(preview: Preview) -> dict[str, Any]:
    """Return the preview for REST: totals, and one object for each environment."""
    return {"total": asdict(preview.total), "environments": [asdict(each) for each in preview.environments]}
