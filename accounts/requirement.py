"""Who must pass a second factor, and who can. The room above answers the first, by functions that settings name."""

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from django_otp.models import Device
from django_otp_webauthn.models import WebAuthnCredential

from accounts.models import TotpDevice, User
from accounts.providers import can_log_in, is_trusted_with, known


def mfa_required(user: User) -> bool:
    """Return whether ``user`` must pass a second factor, by ``MFA_REQUIREMENT``; never cached."""
    return bool(import_string(settings.MFA_REQUIREMENT)(user))


def requirers(user: User) -> Any:
    """Return the environments that require a second factor of ``user``, as a queryset; ``user`` can open them all."""
    return import_string(settings.MFA_REQUIRERS)(user)


def requirers_to_come(user: User) -> Any:
    """Return the environments that will require a second factor of ``user`` from a date, soonest first.

    Each has its ``requires_from`` (UTC); none of them requires it now.
    """
    return import_string(settings.MFA_REQUIRERS_TO_COME)(user)


def api_keys_of(user: User) -> Any:
    """Return the active API keys of ``user``, as a queryset, by ``API_KEYS_OF``; they outlive sessions."""
    return import_string(settings.API_KEYS_OF)(user)


def memberships_of(user: User) -> Any:
    """Return the memberships of ``user``, with their organisations, as a queryset, by ``MEMBERSHIPS_OF``."""
    return import_string(settings.MEMBERSHIPS_OF)(user)


def devices_of(user: User) -> list[Device]:
    """Return the confirmed apps and passkeys of ``user``, oldest first."""
    found: list[Device] = []
    for model in (TotpDevice, WebAuthnCredential):
        found += model.objects.devices_for_user(user, confirmed=True)
    return sorted(found, key=lambda device: (device.created_at, device.pk))


def device_of(user: User, persistent_id: str) -> Device | None:
    """Return the factor of ``user`` with this id, or None."""
    return next((device for device in devices_of(user) if device.persistent_id == persistent_id), None)


def has_factor(user: User) -> bool:
    """Return whether ``user`` has an app or a passkey; recovery codes and unconfirmed devices do not count."""
    apps, passkeys = (
        model.objects.devices_for_user(user, confirmed=True).values("pk") for model in (TotpDevice, WebAuthnCredential)
    )
    return bool(apps.union(passkeys).exists())


def has_identity(user: User) -> bool:
    """Return whether ``user`` can log in through an SSO provider that is still trusted with them."""
    names = user.social_auth.values_list("provider", flat=True)
    return any(can_log_in(user, name) and is_trusted_with(known(name), user.pk) for name in names)


def complies(user: User) -> bool:
    """Return whether a key of ``user`` can be used: no factor is required of them, or they would comply."""
    return not mfa_required(user) or would_comply(user)


def would_comply(user: User) -> bool:
    """Return whether ``user`` complies with any requirement: they have a factor, or log in by SSO alone.

    A super user needs a factor: for them, trust in a provider is not enough.
    """
    if has_factor(user):
        return True
    return not user.is_superuser and not user.has_usable_password() and has_identity(user)
