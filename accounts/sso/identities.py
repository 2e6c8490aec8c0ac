"""Linked SSO identities: announce a new one, and unlink one."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django_otp_webauthn.models import WebAuthnCredential

from accounts import mail
from accounts.models import User
from accounts.providers import can_log_in, opened_through, title_of
from accounts.requirement import requirers
from accounts.standing import lock_to_act
from audit.services import record

MOST_TOLD = 100


@transaction.atomic
def announce_link(user: User, backend_name: str, *, now: datetime) -> None:
    """Mail the user about a new identity and record it, also in organisations that require MFA of them."""
    provider = {"provider": title_of(backend_name)}
    record("identity.linked", by=user, subject=user, after=provider)
    for environment in requirers(user)[:MOST_TOLD]:
        record("identity.linked", environment, by=user, subject=user, after=provider)
    mail.send(user, "identity_linked", {**provider, "at": now})


@transaction.atomic
def unlink(user: User, number: str, *, now: datetime) -> None:
    """Unlink an SSO identity of ``user``, end the sessions that its provider opened, and mail them.

    Raises ``ValidationError`` if it is not theirs, and if they could then no longer log in.
    """
    lock_to_act(user, is_fresh=True)
    identities = list(user.social_auth.all())
    identity = next((one for one in identities if str(one.pk) == number), None)
    if identity is None:
        raise ValidationError(_("There is no such identity any more."))
    others = [one.provider for one in identities if one != identity]
    if not (any(can_log_in(user, name) for name in others) or user.has_usable_password() or has_passkey(user)):
        raise ValidationError(
            _("This is all that you log in with. Add a passkey, link another identity or set a password first.")
        )
    identity.delete()
    opened = user.sessions.open()
    opened.filter(opened_through(identity.provider)).end_sessions(now=now, why="identity unlinked")
    opened.filter(factor_at=None).update(stepped_up_at=None)  # it perhaps confirmed their identity
    provider = {"provider": title_of(identity.provider)}
    record("identity.unlinked", by=user, subject=user, before=provider)
    for environment in requirers(user)[:MOST_TOLD]:
        record("identity.unlinked", environment, by=user, subject=user, before=provider)
    mail.send(user, "identity_unlinked", {**provider, "at": now})


def has_passkey(user: User) -> bool:
    """Return whether ``user`` can log in with a passkey alone."""
    return bool(WebAuthnCredential.objects.devices_for_user(user, confirmed=True).exists())
