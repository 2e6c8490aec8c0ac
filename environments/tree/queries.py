"""Return the part of the tree that a page shows: open around one organisation, and limited for a large tree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from environments.access import Access
from environments.models import Organisation, OrganisationQuerySet

MOST_NODES = 500  # of one query
LEVELS_BELOW = 2


@dataclass(slots=True)
class Branch:
    """A node and the nodes below it that the page shows. ``can_enter``: only super users enter suspended ones."""

    node: Organisation
    is_open: bool
    can_enter: bool
    below: list["Branch"] = field(default_factory=list)

    @property
    def hidden_count(self) -> int:
        """The number of children that are not on this page; the node's own page shows them."""
        return self.node.numchild - len(self.below)


@dataclass(frozen=True, slots=True)
class Tree:
    roots: Sequence[Branch]
    above: Sequence[Organisation]  # those that the viewer has access to, the uppermost first
    is_cut: bool  # there are more than are shown


def tree_around(access: Access) -> Tree:
    """Return the tree around the organisation of a page; two queries at most.

    It has the organisations above that the viewer has access to, their children, and two levels below, the nearest
    level first, up to ``MOST_NODES``.
    """
    organisation, above = access.organisation, access.visible_above
    levels = Organisation.objects.below(organisation).filter(depth__lte=organisation.depth + LEVELS_BELOW)
    below, is_cut_below = _at_most(levels.order_by("depth", "path"))
    beside, is_cut_beside = _at_most(_children_of(above)) if above else ([], False)
    nodes = {node.pk: node for node in (*above, organisation, *below, *beside)}
    return Tree(_branches(nodes.values(), access), above, is_cut_below or is_cut_beside)


def search_tree(words: str, access: Access) -> Tree:
    """Return the organisations in the tree of a page with ``words`` in their name or short name; one query."""
    above = access.visible_above
    everything = Organisation.objects.below(above[0] if above else access.organisation)
    nodes, is_cut = _at_most(everything.filter(Q(name__icontains=words) | Q(slug__icontains=words)).order_by("path"))
    return Tree(_branches(nodes, access, is_open=True), above, is_cut)


def suspended_below(tree: Tree, organisation: Organisation) -> list[Organisation]:
    """Return the nodes of the tree below the organisation that are suspended themselves, in its order; no query."""
    branches, found = list(reversed(tree.roots)), []
    while branches:
        branch = branches.pop()
        branches += reversed(branch.below)
        if branch.node.suspended_at is not None and branch.node.path.startswith(organisation.path):
            found.append(branch.node)
    return found


def _children_of(parents: Iterable[Organisation]) -> OrganisationQuerySet:
    children = Q()
    for node in parents:
        children |= Q(path__gte=node.path, path__lt=node.path + "~", depth=node.depth + 1)
    return Organisation.objects.filter(children).order_by("path")


def _at_most(organisations: OrganisationQuerySet) -> tuple[list[Organisation], bool]:
    nodes = list(organisations[: MOST_NODES + 1])
    return nodes[:MOST_NODES], len(nodes) > MOST_NODES


def _branches(nodes: Iterable[Organisation], access: Access, *, is_open: bool = False) -> list[Branch]:
    """Return the nodes as branches, each below its parent, or at the top if its parent is not among them."""
    by_path: dict[str, Branch] = {}
    roots: list[Branch] = []
    for node in sorted(nodes, key=lambda node: str(node.path)):
        branch = Branch(
            node,
            is_open=is_open or access.organisation.path.startswith(node.path),
            can_enter=access.caller.is_superuser or not node.is_suspended,
        )
        by_path[node.path] = branch
        parent = by_path.get(node.parent_path)
        (parent.below if parent else roots).append(branch)
    return roots
