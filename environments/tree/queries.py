"""The tree as a page shows it: open where the viewer looks, and never all of a large one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from environments.access import reachable
from environments.caller import Caller
from environments.models import Organisation, OrganisationQuerySet

MOST_NODES = 500  # that one query adds to the page
LEVELS_BELOW = 2


@dataclass(slots=True)
class Branch:
    """A node with those nodes below it that the page shows. ``may_enter``: what is suspended opens to super users."""

    node: Organisation
    is_open: bool
    may_enter: bool
    below: list["Branch"] = field(default_factory=list)

    @property
    def hidden_count(self) -> int:
        """Return how many children are not on the page; where none is, the node's own page shows them."""
        return self.node.numchild - len(self.below)


@dataclass(frozen=True, slots=True)
class Tree:
    roots: Sequence[Branch]
    above: Sequence[Organisation]  # those that the viewer reaches, the uppermost first
    is_cut: bool  # more was found than is shown


def tree_around(organisation: Organisation, *, viewer: Caller) -> Tree:
    """Return what stands around ``organisation``, which ``viewer`` has entered; three queries at most.

    Shown are the organisations above it that the viewer reaches, their children, and two levels below it: the nearest
    level first, as far as ``MOST_NODES`` go.
    """
    above = [node for node in reachable(viewer).above(organisation) if node.pk != organisation.pk]
    levels = Organisation.objects.below(organisation).filter(depth__lte=organisation.depth + LEVELS_BELOW)
    below, is_cut_below = _at_most(levels.order_by("depth", "path"))
    beside, is_cut_beside = _at_most(_children_of(above)) if above else ([], False)
    nodes = {node.pk: node for node in (*above, organisation, *below, *beside)}
    return Tree(_grown(nodes.values(), organisation, viewer), above, is_cut_below or is_cut_beside)


def tree_found(words: str, *, around: Organisation, viewer: Caller) -> Tree:
    """Return what ``viewer`` reaches in the tree of ``around``, by words in a name or short name; two queries."""
    above = [node for node in reachable(viewer).above(around) if node.pk != around.pk]
    everything = Organisation.objects.below(above[0] if above else around)
    nodes, is_cut = _at_most(everything.filter(Q(name__icontains=words) | Q(slug__icontains=words)).order_by("path"))
    return Tree(_grown(nodes, around, viewer, is_open=True), above, is_cut)


def _children_of(parents: Iterable[Organisation]) -> OrganisationQuerySet:
    children = Q()
    for node in parents:
        children |= Q(path__gte=node.path, path__lt=node.path + "~", depth=node.depth + 1)
    return Organisation.objects.filter(children).order_by("path")


def _at_most(found: OrganisationQuerySet) -> tuple[list[Organisation], bool]:
    nodes = list(found[: MOST_NODES + 1])
    return nodes[:MOST_NODES], len(nodes) > MOST_NODES


def _grown(
    nodes: Iterable[Organisation], around: Organisation, viewer: Caller, *, is_open: bool = False
) -> list[Branch]:
    """Hang each node below its parent, if that is among them, else at the top."""
    by_path: dict[str, Branch] = {}
    roots: list[Branch] = []
    for node in sorted(nodes, key=lambda node: str(node.path)):
        branch = Branch(
            node,
            is_open=is_open or around.path.startswith(node.path),
            may_enter=viewer.is_superuser or not node.is_suspended,
        )
        by_path[node.path] = branch
        parent = by_path.get(node.parent_path)
        (parent.below if parent else roots).append(branch)
    return roots
