"""What a change would delete, counted before anybody saves it, and the save bound to what was shown."""

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
MORE_SHARE, MORE_ROWS = 0.10, 100  # beyond both, what would go is no longer what was shown


class StalePreview(ValidationError):
    """More would go than was shown; look again before saving."""


@dataclass(frozen=True)
class Preview:
    """What a change would permanently delete, of what there is at the instant ``now``.

    It is counted by what will be past the cutoff at ``counted_for``: the moment at which the change can take effect
    after the time to reconsider, or ``starts_at`` where that is later.

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
        """Whether anything would go, now or once a hold on it is released."""
        return self.is_tighter and bool(self.total.rows or self.total.held)

    @property
    def shortened(self) -> list[int]:
        """The ids of the environments that the change makes stricter."""
        return [pk for pk, effect in self.effects.items() if effect.is_tighter]

    @property
    def cut(self) -> int | None:
        """The days that it means for those: the number itself, or what is inherited from above; None for nowhere."""
        return min((self.effects[pk].after or 0 for pk in self.shortened), default=None)

    @property
    def counts(self) -> dict[str, int]:
        """Return the totals as an audit line or a mail tells them."""
        return {kind: getattr(self.total, kind) for kind in (*COUNTS, "held")}


def preview(
    organisation: Organisation,
    to: Retention,
    now: datetime,
    *,
    new_parent: Organisation | None = None,
    starts_at: datetime | None = None,
) -> Preview:
    """Count exactly what would go if the organisation were set to this; reads only, in one snapshot.

    ``starts_at`` is when the change takes effect at the earliest. Counts come from the purge's own conditions. Raises
    ``ValidationError`` where counting takes longer than 20 seconds.
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
    """Return what tells one change from another, as a token keeps it."""
    starts_at = preview.starts_at and preview.starts_at.isoformat()
    to = preview.to
    return [preview.organisation.pk, to.archival, to.days, to.locked, starts_at]


def cutoffs(effects: dict[int, Effect], *, now: datetime, counted_for: datetime) -> dict[int, datetime]:
    """Return what will be too old by then in each environment that is made stricter, by its id.

    Never later than ``now``: what comes in after that is not counted.
    """
    return {
        pk: min(cutoff(counted_for, effect.after), now)
        for pk, effect in effects.items()
        if effect.is_tighter and effect.after is not None
    }


def total_of(going: list[Going], organisation: Organisation) -> Going:
    """Return the sum of what goes in each environment, in the organisation's name."""
    return Going(
        organisation.pk,
        organisation.name,
        **{kind: sum(getattr(each, kind) for each in going) for kind in (*COUNTS, "held")},
        oldest=min((each.oldest for each in going if each.oldest), default=None),
        newest=max((each.newest for each in going if each.newest), default=None),
    )


def check_shown(token: str, current: Preview) -> None:
    """Raise ``StalePreview`` if more than 10% and 100 rows beyond what ``token`` showed would go by now.

    What has merely aged or come in since is left out: everything is counted again with the cutoffs of that instant. A
    token of another change (its lock and start included), or older than an hour, is stale too.
    """
    try:
        shown: dict[str, Any] = signing.loads(token, salt=SALT, max_age=SHOWN_FOR)
    except signing.BadSignature:
        raise StalePreview(_("Look at what would be deleted first, then save."), code="stale_preview") from None
    if shown["change"] != identity(current):
        raise StalePreview(_("The preview was of another change. Look again."), code="stale_preview")
    then, counted_for = datetime.fromisoformat(shown["at"]), datetime.fromisoformat(shown["for"])
    if more := grown(current, rows=shown["rows"], then=then, counted_for=counted_for):
        message = _("By now %(more)s rows more would be deleted than were shown. Look again.")
        raise StalePreview(message % {"more": more}, code="stale_preview")


def check_unchanged(going: Preview, means: dict[int, Effect]) -> None:
    """Raise ``StalePreview`` if a change ``means`` something else by now than when ``going`` was counted."""
    if means != going.effects:
        raise StalePreview(_("Something else was changed this very moment. Look again."), code="stale_preview")


def grown(current: Preview, *, rows: int, then: datetime, counted_for: datetime) -> int:
    """Return how many rows more would go than ``rows``, which were counted ``then``; 0 for no clear difference."""
    found = cutoffs(current.effects, now=then, counted_for=counted_for)
    more = sum(each.rows for each in count_going(found, now=then).values()) - rows
    return more if more > MORE_ROWS and more > rows * MORE_SHARE else 0


class ReadOnly:
    """A transaction, or a part of one, that cannot write and ends any statement that takes too long."""

    def __enter__(self) -> None:
        self.block = transaction.atomic()
        self.block.__enter__()
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute("SET LOCAL statement_timeout = %s", [f"{TIMEOUT_SECONDS}s"])
            cursor.execute("SET LOCAL work_mem = '64MB'")  # a million rows are counted without a detour over disk

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        transaction.set_rollback(True)  # undoes the settings as well
        self.block.__exit__(kind, error, traceback)
        if isinstance(error, OperationalError) and isinstance(error.__cause__, QueryCanceled):
            raise ValidationError(_("Counting takes too long now. Try again."), code="preview_timeout") from error


def as_json(preview: Preview) -> dict[str, Any]:
    """Return the preview as plain values for REST: totals, and one object an environment."""
    return {"total": asdict(preview.total), "environments": [asdict(each) for each in preview.environments]}
