"""The tree as a page shows it: open where the viewer looks, and never all of a large one."""

from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q

from accounts.models import User
from environments.access import reachable
from environments.models import Organisation

MOST_NODES = 500


@dataclass(slots=True)
class Branch:
    node: Organisation
    is_open: bool
    below: list["Branch"] = field(default_factory=list)


def branches(organisation: Organisation, *, viewer: User, words: str = "") -> dict[str, Any]:
    """Return the tree that ``viewer`` reaches around the organisation; three queries at most.

    Shown are the known organisations above it, their children, and what stands below it; with ``words``, whatever
    has them in its name. ``tree`` holds the roots, ``is_cut`` says that more than ``MOST_NODES`` were found.
    """
    known = reachable(viewer)
    above = list(known.above(organisation))
    top = above[0] if above else organisation
    if words:
        found = known.below(top).filter(Q(name__icontains=words) | Q(slug__icontains=words))
    else:
        shown = Q(path__gte=organisation.path, path__lt=organisation.path + "~", depth__lte=organisation.depth + 2)
        for node in above[:-1]:
            shown |= Q(path__gte=node.path, path__lt=node.path + "~", depth=node.depth + 1)
        found = known.filter(shown | Q(pk__in=[node.pk for node in above]))
    nodes = list(found.order_by("path")[: MOST_NODES + 1])
    by_path: dict[str, Branch] = {}
    roots: list[Branch] = []
    for node in nodes[:MOST_NODES]:
        branch = Branch(node, is_open=bool(words) or organisation.path.startswith(node.path))
        by_path[node.path] = branch
        parent = by_path.get(node.parent_path)
        (parent.below if parent else roots).append(branch)
    return {"tree": roots, "is_cut": len(nodes) > MOST_NODES, "above": above[:-1]}
