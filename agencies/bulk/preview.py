"""Work out what a bulk change would do in each environment, in as many queries for one as for thousands."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.core import signing
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agencies.bulk.wanted import Wanted
from agencies.choices import ItemState
from agencies.environment_table.queries import people_without_factor
from archival.models import PolicyChange
from archival.policy.counting import PurgeCounts, count_purgeable
from archival.policy.previews import MORE_ROWS, MORE_SHARE, SHOWN_FOR, ReadOnly, StalePreview, add_up
from archival.policy.what_if import Effect
from environments.access import Access
from environments.models import MfaChange, Organisation
from environments.policies.effective import Origin, Row, organisation_rows
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.scheduled import pending_changes
from web.clock import cutoff

SALT = "agencies.bulk.preview"
DONE = (ItemState.CHANGED, ItemState.PENDING)
ORDER = (ItemState.REFUSED, ItemState.PENDING, ItemState.CHANGED, ItemState.UNCHANGED)


@dataclass(slots=True)
class PreviewRow:
    """What a bulk change would do in one environment: the effective values before and after, and what that costs."""

    settings: Row
    wanted: Wanted
    state: ItemState
    reason: str  # why it would be refused
    effect: Effect  # on the limit in days
    mfa_before: bool
    mfa_after: bool
    deletes: PurgeCounts | None = None  # None where no limit becomes shorter
    without_factor: int = 0  # people who would have to set up a second factor

    @property
    def node(self) -> Organisation:
        return self.settings.node

    @property
    def changes_retention(self) -> bool:
        return self.effect.before != self.effect.after

    @property
    def changes_mfa(self) -> bool:
        return self.mfa_before != self.mfa_after

    @property
    def rows(self) -> int:
        return self.deletes.rows if self.deletes else 0


@dataclass(frozen=True)
class BulkPreview:
    """The rows, the worst first, and what they add up to. ``token`` goes into the form that starts the job."""

    organisation: Organisation
    wanted: Wanted
    now: datetime
    counted_for: datetime  # the earliest instant at which data can be deleted because of it
    rows: list[PreviewRow]
    people: int  # who would have to set up a second factor, each counted once

    @cached_property
    def total(self) -> PurgeCounts:
        return add_up([row.deletes for row in self.rows if row.deletes], self.organisation)

    @property
    def loses_something(self) -> bool:
        """Whether anything would be deleted, now or once a hold on it is released."""
        return bool(self.total.rows or self.total.held)

    @property
    def waits(self) -> bool:
        return self.counted_for > self.now

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many environments would be changed (at once or later), unchanged and refused."""
        counts = {"changed": 0, "unchanged": 0, "refused": 0}
        for row in self.rows:
            counts["changed" if row.state in DONE else row.state.value] += 1
        return counts

    @property
    def changing(self) -> list[Organisation]:
        return [row.node for row in self.rows if row.state in DONE]

    @property
    def token(self) -> str:
        """Say what was shown, for ``check_shown``."""
        shown = {"what": self._what(), "rows": self.total.rows, "people": self.people}
        return signing.dumps(shown, salt=SALT, compress=True)

    def _what(self) -> str:
        done = sorted((row.node.pk, row.state in DONE) for row in self.rows)
        found = [self.organisation.pk, self.wanted.as_json(), done]
        return sha256(repr(found).encode()).hexdigest()[:32]

    def check_shown(self, token: str) -> None:
        """Raise ``StalePreview`` unless this is the preview with that token, and deletes hardly more than it said."""
        try:
            shown: dict[str, Any] = signing.loads(token, salt=SALT, max_age=SHOWN_FOR)
        except signing.BadSignature:
            shown = {}
        if shown.get("what") != self._what():
            raise StalePreview(_("Something else was changed meanwhile. Check the preview, then start again."))
        more = self.total.rows - shown["rows"]
        if (more > MORE_ROWS and more > shown["rows"] * MORE_SHARE) or self.people > shown["people"]:
            raise StalePreview(_("It would affect more than was shown. Check the new numbers, then start again."))


def preview_bulk_change(
    organisation: Organisation, environments: Iterable[Organisation], wanted: Wanted, *, access: Access, now: datetime
) -> BulkPreview:
    """Return what setting ``wanted`` in these environments, which stand below the organisation, would do; 8 queries.

    Raises ``ValidationError`` if counting takes longer than 20 seconds.
    """
    nodes = list(environments)
    counted_for = max(now + timedelta(hours=settings.COOLING_OFF_HOURS), wanted.retention_from or now)
    limits = _waiting(PolicyChange, nodes) if wanted.retention is not None else {}
    schedules = _waiting(MfaChange, nodes) if wanted.mfa is not None else {}
    rows = []
    for row in organisation_rows(nodes, viewer=access.caller):
        found = _row(row, wanted.in_environment(row.node))
        refuse(found, is_superuser=access.caller.is_superuser)
        rows.append(found)
    _count(rows, now=now, counted_for=counted_for)
    for found in rows:
        if found.state != ItemState.REFUSED:
            found.state = _state(
                found, limits.get(found.node.pk), schedules.get(found.node.pk), waits=counted_for > now
            )
        if found.state not in DONE:
            found.deletes = None
    people = _add_people(rows)
    rows.sort(key=lambda each: (-each.rows, -each.without_factor, ORDER.index(each.state), each.node.path))
    return BulkPreview(organisation, wanted, now, counted_for, rows, people)


def _waiting(model: Any, nodes: list[Organisation]) -> dict[int, Any]:
    """Return the pending change of each environment itself, by its id."""
    changes = pending_changes(model).filter(organisation__in=[node.pk for node in nodes])
    return {change.organisation_id: change for change in changes}


def _row(row: Row, wanted: Wanted) -> PreviewRow:
    """Return the effective values before and after, as if nothing forbade them."""
    archival, mfa = row.settings.archival, row.settings.require_mfa
    limit, rule = archival.effective.value, mfa.effective.value
    to = wanted.retention
    if to is not None:
        locks = [archival.effective.at_most] if archival.effective.at_most else []
        limit = archival.inherited.value if to == Retention.inherit() else Retention.resolve([*locks, to])
    if wanted.mfa is not None:
        above = [mfa.effective.at_most] if mfa.effective.at_most else []
        rule = mfa.inherited.value if wanted.mfa == MfaRule.inherit() else MfaRule.resolve([*above, wanted.mfa])
    effect = Effect(archival.effective.value.days, limit.days)
    return PreviewRow(row, wanted, ItemState.CHANGED, "", effect, mfa.effective.value.is_on, rule.is_on)


def refuse(row: PreviewRow, *, is_superuser: bool) -> None:
    """Set state and reason if a lock above forbids what is wanted, or if the environment is suspended."""
    suspended = _("Suspended") if row.node.is_suspended and not is_superuser else ""
    row.reason = suspended or refusal_of_retention(row) or refusal_of_mfa(row)
    if row.reason:
        row.state = ItemState.REFUSED
        row.effect = Effect(row.effect.before, row.effect.before)
        row.mfa_after = row.mfa_before


def refusal_of_retention(row: PreviewRow) -> str:
    """Return which lock forbids the limit, as ``check_retention`` does; empty if none does."""
    archival, to = row.settings.settings.archival.effective, row.wanted.retention
    if to is None or to == Retention.inherit() or archival.at_most is None:
        return ""
    if archival.at_most.strictness >= to.strictness:
        return ""
    days = archival.at_most.days or 0
    text = ngettext("%(name)s locks this at %(days)s day", "%(name)s locks this at %(days)s days or fewer", days)
    return text % {"name": _name_of(archival.lock), "days": days}


def refusal_of_mfa(row: PreviewRow) -> str:
    """Return which lock keeps MFA on, as ``check_mfa`` does; empty if none does."""
    mfa = row.settings.settings.require_mfa.effective
    if row.wanted.mfa is None or row.wanted.mfa != MfaRule.off() or mfa.at_most is None:
        return ""
    return _("%(name)s locks MFA on") % {"name": _name_of(mfa.lock)}


def _name_of(lock: Origin | None) -> str:
    return (lock and lock.name) or _("An organisation above")


def _count(rows: list[PreviewRow], *, now: datetime, counted_for: datetime) -> None:
    """Add what would be deleted where a limit becomes shorter; two queries."""
    tighter = {row.node.pk: row for row in rows if row.effect.is_tighter}
    cutoffs = {pk: min(cutoff(counted_for, row.effect.after or 0), now) for pk, row in tighter.items()}
    with ReadOnly():
        counted = count_purgeable(cutoffs, now=now) if cutoffs else {}
    for pk, row in tighter.items():
        row.deletes = counted[pk]


def _state(row: PreviewRow, limit: PolicyChange | None, schedule: MfaChange | None, *, waits: bool) -> ItemState:
    """Return what the services would do, given the pending changes of the environment itself."""
    states = [_retention_state(row, limit, waits=waits), _mfa_state(row, schedule)]
    return min(states, key=ORDER.index)


def _retention_state(row: PreviewRow, pending: PolicyChange | None, *, waits: bool) -> ItemState:
    to, start = row.wanted.retention, row.wanted.retention_from
    if to is None:
        return ItemState.UNCHANGED
    if to == Retention.of(row.node):
        return ItemState.UNCHANGED if pending is None else ItemState.CHANGED
    loses = row.deletes is not None and bool(row.deletes.rows or row.deletes.held)
    if start is None and not (loses and waits):
        return ItemState.CHANGED
    is_same = pending is not None and pending.new_parent_id is None and pending.retention == to
    is_soon = pending is not None and (start is None or pending.acts_at >= start)
    return ItemState.UNCHANGED if is_same and is_soon else ItemState.PENDING


def _mfa_state(row: PreviewRow, pending: MfaChange | None) -> ItemState:
    rule, start = row.wanted.mfa, row.wanted.mfa_from
    if rule is None:
        return ItemState.UNCHANGED
    is_set = rule == MfaRule.of(row.node)
    if start is None:
        return ItemState.UNCHANGED if is_set and pending is None else ItemState.CHANGED
    is_scheduled = pending is not None and (pending.acts_at, pending.locked) == (start, rule.locked)
    return ItemState.UNCHANGED if is_set or is_scheduled else ItemState.PENDING


def _add_people(rows: list[PreviewRow]) -> int:
    """Add how many people would have to set up a second factor in each environment; return how many people they are."""
    newly = [row for row in rows if row.state in DONE and row.mfa_after and not row.mfa_before]
    if not newly:
        return 0
    found = people_without_factor([row.node for row in newly])
    for row in newly:
        row.without_factor = len(found[row.node.pk])
    return len(set().union(*found.values()))
