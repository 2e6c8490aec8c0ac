"""Work out in memory the effective limits below an organisation after a change, without writing anything."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

from archival.models import PolicyChange
from environments.choices import Kind
from environments.models import Organisation
from environments.policies.retention import COLUMNS, Retention

Chain = tuple[tuple[Any, ...], ...]  # own values, the root's first, each in the order of ``COLUMNS``


@dataclass(frozen=True, slots=True)
class Effect:
    """The effective limit of one environment in days, before and after a change; ``None`` keeps everything."""

    before: int | None
    after: int | None

    @property
    def is_tighter(self) -> bool:
        return self.after is not None and (self.before is None or self.after < self.before)


def effects_of(
    organisation: Organisation, to: Retention, *, new_parent: Organisation | None = None, at_root: bool = False
) -> dict[int, Effect]:
    """Return the effect of a change on every environment at or below the organisation, by id; two queries.

    With ``new_parent``, the change also moves the organisation below it; with ``at_root``, to the root.
    """
    above = [] if at_root else new_parent.lineage if new_parent else organisation.lineage[:-1]
    ancestors = Organisation.objects.filter(path__in=above).order_by("path").values_list(*COLUMNS)
    below = Organisation.objects.below(organisation).order_by("path")
    found: dict[int, Effect] = {}
    stack: list[tuple[str, Chain]] = [("", tuple(ancestors))]
    wanted = astuple(to)
    for pk, kind, before, path, *own in below.values_list(
        "pk", "kind", "effective_archive_after_days", "path", *COLUMNS
    ):
        while not path.startswith(stack[-1][0]):
            stack.pop()
        chain = (*stack[-1][1], wanted if path == organisation.path else tuple(own))
        stack.append((path, chain))
        if kind == Kind.ENVIRONMENT:
            found[pk] = Effect(before, _days_at_the_end_of(chain))
    return found


@lru_cache(maxsize=1000)
def _days_at_the_end_of(chain: Chain) -> int | None:
    """Return the effective limit at the end of a chain; thousands of environments have few different ones."""
    return Retention.resolve(Retention(*own) for own in chain).days


def effect_on(
    organisation: Organisation, change: PolicyChange, *, above: Iterable[Organisation] | None = None
) -> Effect:
    """Return the effect that a pending change further up would have on the organisation; one query, two for a move.

    With ``above``, which is everything above the organisation, the root first, it is one query less.
    """
    nodes = list(Organisation.objects.above(organisation)) if above is None else [*above, organisation]
    if change.new_parent is not None:
        moved = [node for node in nodes if node.path.startswith(change.organisation.path)]
        nodes = [*Organisation.objects.above(change.new_parent), *moved]
    chain = [change.retention if node.pk == change.organisation_id else Retention.of(node) for node in nodes]
    return Effect(organisation.effective_archive_after_days, Retention.resolve(chain).days)
