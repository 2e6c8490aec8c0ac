"""What would hold below an organisation if it were set otherwise: resolved in memory, nothing is written."""

from dataclasses import dataclass

from archival.models import PolicyChange
from environments.choices import Archival, Kind
from environments.models import Organisation


@dataclass(frozen=True)
class Effect:
    """Effective days of one environment; None keeps everything."""

    before: int | None
    after: int | None

    @property
    def is_tighter(self) -> bool:
        return self.after is not None and (self.before is None or self.after < self.before)


@dataclass(frozen=True)
class Own:
    """What somebody set on one node."""

    archival: str
    days: int | None
    locked: bool


def effects(
    organisation: Organisation,
    *,
    archival: str,
    days: int | None,
    locked: bool | None = None,
    new_parent: Organisation | None = None,
) -> dict[int, Effect]:
    """Return the effect on every environment in the organisation's subtree, by id; two queries.

    ``locked`` None leaves the lock where a limit stays one. With ``new_parent`` the organisation stands below that.
    Nearest own value wins, and each locked limit above bounds it, as ``environments.policies.resolve.resolve`` has it.
    """
    if locked is None:
        locked = organisation.archival_locked and archival == Archival.LIMIT
    above = new_parent.lineage if new_parent else organisation.lineage[:-1]
    fields = ("path", "archival", "archive_after_days", "archival_locked")
    ancestors = Organisation.objects.filter(path__in=above).order_by("path").values_list(*fields)
    chain = [Own(*values) for _path, *values in ancestors]
    wanted = {organisation.path: Own(archival, days, locked)}
    below = Organisation.objects.below(organisation).order_by("path")
    found: dict[int, Effect] = {}
    stack: list[tuple[str, Own]] = []
    for pk, kind, before, path, *values in below.values_list("pk", "kind", "effective_archive_after_days", *fields):
        while stack and not path.startswith(stack[-1][0]):
            stack.pop()
        stack.append((path, wanted.get(path) or Own(*values)))
        if kind == Kind.ENVIRONMENT:
            found[pk] = Effect(before, resolved([*chain, *(own for _, own in stack)]))
    return found


def effect_on(organisation: Organisation, change: PolicyChange) -> Effect:
    """Return what a pending change of a node above would mean for the organisation; one query, or two for a move."""
    nodes = list(Organisation.objects.above(organisation))
    if change.new_parent is not None:
        moved = [node for node in nodes if node.path.startswith(change.organisation.path)]
        nodes = [*Organisation.objects.above(change.new_parent), *moved]
    locked = change.organisation.archival_locked and change.archival == Archival.LIMIT
    wanted = Own(change.archival, change.days, locked if change.locked is None else change.locked)
    chain = [
        wanted
        if node.pk == change.organisation_id
        else Own(node.archival, node.archive_after_days, node.archival_locked)
        for node in nodes
    ]
    return Effect(organisation.effective_archive_after_days, resolved(chain))


def resolved(chain: list[Own]) -> int | None:
    """Return the effective days at the end of a chain of nodes, the root first."""
    nearest = next((own.days for own in reversed(chain) if own.archival != Archival.INHERIT), None)
    locks = [own.days for own in chain if own.locked and own.days is not None]
    return min([*locks, *([] if nearest is None else [nearest])], default=None)
