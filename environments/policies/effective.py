"""What holds in each of many organisations, and by whose decision, as far as a viewer may know."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q
from django.utils.translation import gettext as _

from environments.access import reachable
from environments.caller import Caller
from environments.models import Organisation


@dataclass(frozen=True, slots=True)
class Row:
    """An organisation in a list. The origins are words: own, a name, "set above", or empty where nobody decided."""

    node: Organisation
    parent: str  # empty at a root, and where the viewer may not know it
    mfa_origin: str
    archival_origin: str


def rows(organisations: Iterable[Organisation], *, viewer: Caller) -> list[Row]:
    """Describe organisations that ``viewer`` may see, in their order; one query."""
    nodes = list(organisations)
    sources = {pk for node in nodes for pk in (node.require_mfa_source_id, node.archival_source_id) if pk}
    wanted = Q(pk__in=sources) | Q(path__in={node.parent_path for node in nodes})
    known = list(reachable(viewer).filter(wanted).values_list("pk", "path", "name")) if nodes else []
    names = {pk: name for pk, _path, name in known}
    parents = {path: name for _pk, path, name in known}

    def origin(node: Organisation, source: int | None) -> str:
        if source is None:
            return ""
        return _("own") if source == node.pk else names.get(source, _("set above"))

    return [
        Row(
            node,
            parent=parents.get(node.parent_path, ""),
            mfa_origin=origin(node, node.require_mfa_source_id),
            archival_origin=origin(node, node.archival_source_id),
        )
        for node in nodes
    ]
