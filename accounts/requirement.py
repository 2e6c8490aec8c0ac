"""Who must pass a second factor, and who can. The room above answers the first; settings name it by dotted path."""

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string
from django_otp.models import Device
from django_otp_webauthn.models import WebAuthnCredential

from accounts.models import TotpDevice, User
from accounts.providers import backend_names


def mfa_required(user: User) -> bool:
    """Ask ``MFA_REQUIREMENT`` whether a password alone is too little for ``user``; never cached."""
    return bool(import_string(settings.MFA_REQUIREMENT)(user))


def requirers(user: User) -> Any:
    """Return the environments that require it of ``user``, as a queryset; all of them he may know by ``name``."""
    return import_string(settings.MFA_REQUIRERS)(user)


def requirers_to_come(user: User) -> Any:
    """Return the environments that will require it of ``user`` from a date, as a queryset, the soonest first.

    Each has its ``requires_from`` (UTC); none of them requires it now.
    """
    return import_string(settings.MFA_REQUIRERS_TO_COME)(user)


def api_keys_of(user: User) -> Any:
    """Return the API keys of ``user`` that work on when every session ends, as a queryset; ``API_KEYS_OF`` knows."""
    return import_string(settings.API_KEYS_OF)(user)


def devices_of(user: User) -> list[Device]:
    """Return the confirmed apps and passkeys of ``user``, the oldest first."""
    found: list[Device] = []
    for model in (TotpDevice, WebAuthnCredential):
        found += model.objects.devices_for_user(user, confirmed=True)
    return sorted(found, key=lambda device: (device.created_at, device.pk))


def device_of(user: User, persistent_id: str) -> Device | None:
    """Return the factor of ``user`` with this id, if he has it."""
    return next((device for device in devices_of(user) if device.persistent_id == persistent_id), None)


def has_factor(user: User) -> bool:
    """Tell whether ``user`` has an app or a passkey; recovery codes and devices not yet confirmed do not count."""
    return any(
        model.objects.devices_for_user(user, confirmed=True).exists() for model in (TotpDevice, WebAuthnCredential)
    )


def has_identity(user: User) -> bool:
    """Tell whether ``user`` can come through an SSO provider that is still trusted."""
    return bool(user.social_auth.filter(provider__in=backend_names()).exists())


def complies(user: User) -> bool:
    """Tell whether a key of ``user`` may work: he need not pass a factor, or would pass."""
    return not mfa_required(user) or would_comply(user)


def would_comply(user: User) -> bool:
    """Tell whether ``user`` has a factor, or can come by SSO alone: he complies whoever requires it.

    A super user needs a factor of his own: trust in a provider does not reach that far.
    """
    if has_factor(user):
        return True
    return not user.is_superuser and not user.has_usable_password() and has_identity(user)
