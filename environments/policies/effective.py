"""The effective values of an organisation, where they come from and who locks them, as far as a viewer can see."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from environments.access import Access, reachable
from environments.caller import Caller
from environments.choices import Kind
from environments.models import Organisation, OrganisationQuerySet
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention

Value = TypeVar("Value", MfaRule, Retention)


@dataclass(frozen=True, slots=True)
class Origin:
    """The organisation that a value or a lock comes from; without a name if the viewer cannot see it."""

    slug: str | None
    name: str | None
    kind: str
    levels_up: int

    @property
    def label(self) -> str:
        return self.name or _("set above")

    @property
    def kind_label(self) -> str:
        return str(Kind(self.kind).label)


@dataclass(frozen=True, slots=True)
class Effective(Generic[Value]):
    """The effective value of one setting, never inherit, with where it comes from and who locks it."""

    value: Value
    source: Origin | None  # None: the default
    lock: Origin | None  # the organisation above whose lock is the strictest; the uppermost, if several are
    at_most: Value | None  # what that lock allows


@dataclass(frozen=True, slots=True)
class SettingState(Generic[Value]):
    """One setting of an organisation: its own value, the effective one, and the one that it would inherit."""

    own: Value
    effective: Effective[Value]
    inherited: Effective[Value]


@dataclass(frozen=True, slots=True)
class AdvancedSettings:
    require_mfa: SettingState[MfaRule]
    archival: SettingState[Retention]


@dataclass(frozen=True, slots=True)
class Row:
    """An organisation in a list, with its settings. The origins are words: own, a name, "set above", or empty."""

    node: Organisation
    parent: str  # empty at a root, and if the viewer cannot see it
    settings: AdvancedSettings
    above: list[Organisation]  # everything above, the root first, also what the viewer cannot see

    @property
    def mfa_origin(self) -> str:
        return origin_in_words(self.settings.require_mfa.effective.source)

    @property
    def archival_origin(self) -> str:
        return origin_in_words(self.settings.archival.effective.source)


def origin_in_words(origin: Origin | None) -> str:
    if origin is None:
        return ""
    return _("own") if origin.levels_up == 0 else origin.label


def advanced_settings(organisation: Organisation, *, viewer: Caller) -> AdvancedSettings:
    """Return both settings of the organisation as ``viewer`` can see them; one query."""
    (row,) = organisation_rows([organisation], viewer=viewer)
    return row.settings


def organisation_rows(organisations: Iterable[Organisation], *, viewer: Caller) -> list[Row]:
    """Return organisations that ``viewer`` can see as rows, in their order; one query for any number."""
    nodes = list(organisations)
    paths = {path for node in nodes for path in node.lineage}
    is_known = Exists(reachable(viewer).filter(pk=OuterRef("pk")))
    found = Organisation.objects.filter(path__in=paths).annotate(is_known=is_known) if nodes else ()
    by_path = {node.path: node for node in found}
    known = {node.path for node in found if node.is_known}
    return _rows_among(by_path, nodes, known=known)


def environment_rows(environments: OrganisationQuerySet, *, access: Access) -> list[Row]:
    """Return environments below the organisation of a page as rows, in the order of the tree; one query."""
    by_path = {node.path: node for node in Organisation.objects.with_those_above(environments)}
    known = {path for path, node in by_path.items() if access.reaches(node)}
    return _rows_among(by_path, [node for node in by_path.values() if node.is_environment], known=known)


def row_here(access: Access) -> Row:
    """Return the organisation of a page as a row, as its viewer can see it; no query."""
    here = access.organisation
    by_path = {node.path: node for node in (*access.above, here)}
    (row,) = _rows_among(by_path, [here], known={node.path for node in access.visible_above})
    return row


def settings_here(access: Access) -> AdvancedSettings:
    """Return both settings of the organisation of a page as its viewer can see them; no query."""
    return row_here(access).settings


def _rows_among(by_path: dict[str, Organisation], nodes: list[Organisation], *, known: set[str]) -> list[Row]:
    rows = []
    for node in nodes:
        above = [by_path[path] for path in node.lineage[:-1] if path in by_path]
        parent = above[-1] if above else None
        name = parent.name if parent is not None and parent.path in known else ""
        rows.append(Row(node, name, state_of(node, above, known=known | {node.path}), above))
    return rows


def state_of(node: Organisation, above: list[Organisation], *, known: set[str]) -> AdvancedSettings:
    """Return both settings of a node; ``above`` are all above it, the root first, ``known`` the paths with names."""
    chain = {each.pk: each for each in (*above, node)}
    parent = above[-1] if above else Organisation()

    def origin(pk: int | None) -> Origin | None:
        if pk is None:
            return None
        source = chain.get(pk)
        if source is None:  # the tree was changed between two queries
            return Origin(slug=None, name=None, kind=node.kind, levels_up=1)
        levels = node.depth - source.depth
        if source.path not in known:
            return Origin(slug=None, name=None, kind=source.kind, levels_up=levels)
        return Origin(slug=source.slug, name=source.name, kind=source.kind, levels_up=levels)

    def state(
        own_in: Callable[[Organisation], Value], effective_in: Callable[[Organisation], Value], source: str
    ) -> SettingState[Value]:
        locks = [(own_in(each), each.pk) for each in above if own_in(each).locked]
        at_most, lock = min(locks, key=lambda each: each[0].strictness, default=(None, None))
        return SettingState(
            own=own_in(node),
            effective=Effective(effective_in(node), origin(getattr(node, source)), origin(lock), at_most),
            inherited=Effective(effective_in(parent), origin(getattr(parent, source)), origin(lock), at_most),
        )

    return AdvancedSettings(
        state(MfaRule.of, MfaRule.effective_in, "require_mfa_source_id"),
        state(Retention.of, Retention.effective_in, "archival_source_id"),
    )
