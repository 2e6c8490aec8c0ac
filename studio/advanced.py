"""The two advanced settings of an organisation as a viewer may see them: what holds, and where it comes from."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from environments.access import reachable
from environments.caller import Caller
from environments.choices import Kind
from environments.models import Organisation


@dataclass(frozen=True, slots=True)
class Origin:
    """The organisation that a value or a lock comes from; without a name where the viewer may not know it."""

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
class MfaState:
    own: str
    is_locked: bool
    effective: bool
    source: Origin | None  # None: nobody set it
    lock: Origin | None  # the uppermost lock above
    inherited: bool  # what inherit would mean
    inherited_source: Origin | None


@dataclass(frozen=True, slots=True)
class ArchivalState:
    own: str
    days: int | None
    is_locked: bool
    effective_days: int | None  # None: everything is kept
    source: Origin | None
    lock: Origin | None  # the strictest lock above
    at_most_days: int | None  # what that lock allows
    inherited_days: int | None
    inherited_source: Origin | None


@dataclass(frozen=True, slots=True)
class AdvancedSettings:
    require_mfa: MfaState
    archival: ArchivalState


def advanced_settings(organisation: Organisation, *, viewer: Caller) -> AdvancedSettings:
    """Describe both settings of the organisation for ``viewer``; two queries."""
    chain = {node.pk: node for node in Organisation.objects.above(organisation)}
    known = {node.pk for node in reachable(viewer).above(organisation)} | {organisation.pk}

    def origin(pk: int | None) -> Origin | None:
        if pk is None:
            return None
        node = chain[pk]
        levels = organisation.depth - node.depth
        if pk not in known:
            return Origin(slug=None, name=None, kind=node.kind, levels_up=levels)
        return Origin(slug=node.slug, name=node.name, kind=node.kind, levels_up=levels)

    above = [node for node in chain.values() if node.pk != organisation.pk]
    parent = above[-1] if above else None
    mfa_lock = next((node.pk for node in above if node.require_mfa_locked), None)
    limits = [node for node in above if node.archival_locked and node.archive_after_days is not None]
    strictest = min(limits, key=lambda node: (node.archive_after_days or 0, node.depth), default=None)
    return AdvancedSettings(
        MfaState(
            own=organisation.require_mfa,
            is_locked=organisation.require_mfa_locked,
            effective=organisation.effective_require_mfa,
            source=origin(organisation.require_mfa_source_id),
            lock=origin(mfa_lock),
            inherited=parent.effective_require_mfa if parent else False,
            inherited_source=origin(parent.require_mfa_source_id) if parent else None,
        ),
        ArchivalState(
            own=organisation.archival,
            days=organisation.archive_after_days,
            is_locked=organisation.archival_locked,
            effective_days=organisation.effective_archive_after_days,
            source=origin(organisation.archival_source_id),
            lock=origin(strictest.pk if strictest else None),
            at_most_days=strictest.archive_after_days if strictest else None,
            inherited_days=parent.effective_archive_after_days if parent else None,
            inherited_source=origin(parent.archival_source_id) if parent else None,
        ),
    )
