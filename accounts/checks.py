"""System checks of the log-in settings; ``manage.py check`` and every start run them."""

from collections.abc import Collection
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connection
from django.utils.module_loading import import_string
from social_core.backends.legacy import LegacyAuth

from accounts.choices import PASSWORD_BACKEND
from accounts.factors import rotation
from accounts.models import TotpDevice
from accounts.sso.provider_checks import faults
from web.checks import AT_START

UNWANTED_STEPS = ("social_core.pipeline.user.create_user", "social_core.pipeline.social_auth.associate_by_email")


@register(AT_START)
def check_backends(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report backends that cannot be imported (they break password log-ins too) and backends that check no secret."""
    found: list[CheckMessage] = []
    if settings.AUTHENTICATION_BACKENDS[0] != PASSWORD_BACKEND:
        found.append(Error(f"AUTHENTICATION_BACKENDS must begin with {PASSWORD_BACKEND}.", id="accounts.E001"))
    for path in settings.AUTHENTICATION_BACKENDS:
        try:
            backend = import_string(path)
        except Exception as error:
            found.append(Error(f"The backend {path} cannot be imported: {error}", id="accounts.E002"))
            continue
        if issubclass(backend, LegacyAuth):
            found.append(Error(f"The backend {path} checks no password at all.", id="accounts.E003"))
    found += [
        Error(f"SOCIAL_AUTH_PIPELINE must not have {step}.", id="accounts.E004")
        for step in UNWANTED_STEPS
        if step in settings.SOCIAL_AUTH_PIPELINE
    ]
    return found


@register(AT_START)
def check_providers(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    seen: set[str] = set()
    for number, provider in enumerate(settings.OIDC_PROVIDERS, 1):
        key = str(provider.get("id", number))
        found += [Error(f"Provider {key} of OIDC_PROVIDERS {fault}", id="accounts.E005") for fault in faults(provider)]
        if key in seen:
            found.append(Error(f"Provider {key} of OIDC_PROVIDERS has the id of another.", id="accounts.E006"))
        seen.add(key)
    return found


@register(AT_START)
def check_totp_keys(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.TOTP_KEYS:
        return [Error("TOTP_KEYS is not set.", hint="A comma-separated list of Fernet keys.", id="accounts.E007")]
    try:
        for key in settings.TOTP_KEYS:
            Fernet(key)
    except ValueError as error:
        return [Error(f"TOTP_KEYS holds no valid Fernet key: {error}", id="accounts.E008")]
    return []


@register(Tags.database)
def check_stored_secrets(
    app_configs: Any, *, databases: Collection[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report TOTP secrets that no key opens, so that a lost key shows at the start and not at the next log-in.

    Reads the secrets stored last. ``migrate`` and ``check --database default`` run it.
    """
    if "default" not in (databases or ()) or check_totp_keys(app_configs):
        return []
    if TotpDevice._meta.db_table not in connection.introspection.table_names():
        return []  # before the first migration
    sealed = list(rotation.latest_secrets())
    if sealed and not any(map(rotation.opens, sealed)):
        return [Error("TOTP_KEYS opens none of the stored secrets.", hint="Is a key missing?", id="accounts.E009")]
    if sealed and not any(map(rotation.opens_with_newest, sealed)):
        message = "The newest of TOTP_KEYS opens none of the stored secrets yet."
        return [CheckWarning(message, hint="Run manage.py rotate_totp.", id="accounts.W001")]
    return []
