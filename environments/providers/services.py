"""Add, change, try, turn on, turn off and delete an organisation's own identity providers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from social_django.models import UserSocialAuth

from accounts.choices import ProviderKind
from accounts.providers import SHARED_TENANTS, Provider, is_own_address
from accounts.sessions import services as sessions
from accounts.standing import lock_to_act
from audit.services import record
from environments.access import RoleTooLow, permissions_in
from environments.audit_log.versions import check_version
from environments.caller import Caller
from environments.choices import Permission, ProviderState
from environments.models import IdentityProvider, Organisation, OrganisationDomain
from environments.providers.queries import as_entry, users_of
from web.sealing import seal

ACTION: Final = "identity_provider."  # the beginning of the events about providers
MOST: Final = 10  # providers of one organisation


@dataclass(frozen=True, slots=True)
class Connection:
    """What an Administrator types about a provider. An empty ``secret`` keeps the one that is stored."""

    title: str
    issuer: str
    client_id: str
    secret: str = field(repr=False)
    domains: frozenset[int]  # the ids of the organisation's domains that it is for
    email_is_trusted: bool


@transaction.atomic
def add_provider(organisation: Organisation, *, title: str, by: Caller, now: datetime) -> IdentityProvider:
    """Add a provider, to be completed: the address to register at the provider has its key.

    Raises ``PermissionDenied``, and ``ValidationError`` if the organisation has too many.
    """
    _lock(organisation, by=by)
    if organisation.identity_providers.count() >= MOST:
        raise ValidationError(_("An organisation can have %(n)d identity providers.") % {"n": MOST})
    provider: IdentityProvider = organisation.identity_providers.create(title=title, created_at=now)
    record(f"{ACTION}added", organisation, by=by, subject=provider)
    return provider


@transaction.atomic
def change_provider(
    provider: IdentityProvider, *, to: Connection, by: Caller, seen: str | None = None
) -> IdentityProvider:
    """Store what an Administrator typed; a provider whose connection changed must be tried again.

    Raises ``PermissionDenied``, ``ValidationError`` for a provider that is on, for an issuer that cannot be one or
    would take over linked identities, and for domains that are not verified, and ``ChangedMeanwhile``.
    """
    locked = lock_provider(provider, by=by)
    if locked.is_on:
        raise ValidationError(_("Turn the provider off before you change it: its sessions end then."))
    before = as_shown(locked)
    check_version(seen, before, locked.organisation, ACTION)
    issuer = check_issuer(to.issuer)
    if issuer != locked.issuer and users_of(locked).identities:
        raise ValidationError(
            {"issuer": _("People have linked identities of the present issuer. Add another provider for a new one.")}
        )
    domains = _verified(locked.organisation, to.domains)
    locked.title, locked.issuer, locked.client_id = to.title, issuer, to.client_id
    locked.email_is_trusted = to.email_is_trusted
    if to.secret:
        locked.secret = seal({"provider": locked.key, "secret": to.secret})
    locked.domains.set(domains)
    after = as_shown(locked)
    if to.secret or {**before, "title": ""} != {**after, "title": ""}:
        locked.state, locked.tried_at, locked.trial = ProviderState.DRAFT, None, None
    locked.save()
    secret = {"secret": _("replaced")} if to.secret else {}
    record(f"{ACTION}changed", locked.organisation, by=by, subject=locked, before=before, after=after | secret)
    return locked


def check_issuer(issuer: str) -> str:
    """Return the issuer as it is stored. Raises ``ValidationError`` if it cannot be the address of one."""
    issuer = issuer.strip().removesuffix("/.well-known/openid-configuration").rstrip("/")
    try:
        parts = urlsplit(issuer)
        is_plain = not (parts.query or parts.fragment) and (parts.port or True)
    except ValueError:
        is_plain = False
    if not (is_plain and is_own_address(issuer)):
        raise ValidationError({"issuer": _("Enter the address of the issuer, which begins with https://.")})
    is_entra = IdentityProvider(issuer=issuer).kind == ProviderKind.ENTRA
    if "microsoftonline" in parts.netloc and not is_entra and SHARED_TENANTS & set(parts.path.split("/")):
        raise ValidationError({"issuer": _("Enter the address of your own tenant: its ID stands in it.")})
    return issuer


def _verified(organisation: Organisation, ids: frozenset[int]) -> list[OrganisationDomain]:
    found = list(organisation.domains.filter(pk__in=ids, verified_at__isnull=False).order_by("domain"))
    if not found or len(found) != len(ids):
        raise ValidationError({"domains": _("Choose at least one domain that your organisation has verified.")})
    return found


@transaction.atomic
def record_trial(
    provider: IdentityProvider,
    trial: Mapping[str, Any],
    *,
    has_passed: bool,
    of: Provider,
    by: Caller,
    now: datetime,
) -> None:
    """Store what a trial showed. The provider can be turned on after one that has passed.

    ``of`` is the entry that was tried. Raises ``PermissionDenied``, and ``ValidationError`` if the provider was changed
    or deleted meanwhile.
    """
    locked = lock_provider(provider, by=by, is_fresh=False)
    if as_entry(locked) != of:
        raise ValidationError(_("The provider was changed during the trial. Try it again."))
    locked.trial = dict(trial)
    if has_passed:
        locked.tried_at = now
    if not locked.is_on and (locked.state == ProviderState.DRAFT or not has_passed):
        locked.state = ProviderState.TRIED if has_passed else ProviderState.DRAFT
    locked.save(update_fields=["trial", "tried_at", "state"])
    record(f"{ACTION}tried", locked.organisation, by=by, subject=locked, after={"outcome": trial["outcome"]})


@transaction.atomic
def turn_on(provider: IdentityProvider, *, by: Caller) -> None:
    """Let people log in through the provider.

    Raises ``PermissionDenied``, and ``ValidationError`` if it was not tried, if the organisation has verified none of
    its domains any more, or if another provider is on for one of them.
    """
    locked = lock_provider(provider, by=by)
    if locked.is_on:
        return
    if locked.state == ProviderState.DRAFT:
        raise ValidationError(_("Try the provider first."))
    if not locked.live_domains:
        raise ValidationError(_("None of its domains is verified any more."))
    others = IdentityProvider.objects.working().speaking_for(locked.live_domains).exclude(pk=locked.pk)
    if other := others.first():
        raise ValidationError(_("%(title)s is on for the same domain. Turn it off first.") % {"title": other.title})
    _store_state(locked, ProviderState.ON)
    after = {"domains": locked.live_domains, "issuer": locked.issuer}
    record(f"{ACTION}turned_on", locked.organisation, by=by, subject=locked, after=after)


@transaction.atomic
def turn_off(provider: IdentityProvider, *, by: Caller, now: datetime) -> int:
    """Let nobody log in through the provider, end the sessions that it opened, and return how many were open."""
    locked = lock_provider(provider, by=by)
    if not locked.is_on:
        return 0
    ending = users_of(locked).sessions
    _store_state(locked, ProviderState.OFF)
    _end_sessions(now)
    record(f"{ACTION}turned_off", locked.organisation, by=by, subject=locked, before={"sessions": ending})
    return ending


@transaction.atomic
def delete_provider(provider: IdentityProvider, *, by: Caller, now: datetime) -> int:
    """Delete the provider and the identities at it, end its sessions, and return how many were open."""
    locked = lock_provider(provider, by=by)
    users = users_of(locked)
    before = {"issuer": locked.issuer, "identities": users.identities, "sessions": users.sessions}
    record(f"{ACTION}deleted", locked.organisation, by=by, subject=locked, before=before)
    UserSocialAuth.objects.filter(provider=locked.backend_name).delete()
    locked.delete()
    _end_sessions(now)
    return users.sessions


def as_shown(provider: IdentityProvider) -> dict[str, Any]:
    """Return what the page of a provider shows, for versions and events; the secret is in neither."""
    return {
        "title": provider.title,
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "domains": sorted(provider.domains.values_list("domain", flat=True)),
        "email_is_trusted": provider.email_is_trusted,
    }


def lock_provider(provider: IdentityProvider, *, by: Caller, is_fresh: bool = True) -> IdentityProvider:
    """Lock a provider until the transaction ends, and return it as it is now, with its domains.

    Raises ``PermissionDenied``, and ``ValidationError`` if it was deleted.
    """
    _lock(provider.organisation, by=by, is_fresh=is_fresh)
    locked = IdentityProvider.objects.with_domains().filter(pk=provider.pk).first()
    if locked is None:
        raise ValidationError(_("Somebody has deleted this provider."))
    return locked


def _lock(organisation: Organisation, *, by: Caller, is_fresh: bool = True) -> None:
    """Lock the person who acts, and all providers of the organisation, and check the permission again."""
    lock_to_act(by.require_person(), is_fresh=is_fresh)
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    if Permission.MANAGE_PROVIDERS not in permissions_in(by, organisation):
        raise RoleTooLow


def _store_state(provider: IdentityProvider, state: ProviderState) -> None:
    provider.state = state
    provider.save(update_fields=["state"])


def _end_sessions(now: datetime) -> None:
    """End sessions that nothing founds any more, once it is stored: the guard would refuse them one by one."""
    transaction.on_commit(lambda: sessions.end_without_basis(now=now))
