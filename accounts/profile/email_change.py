"""Changing the e-mail address: requested in a stepped-up session, confirmed by a link mailed to the new address."""

import secrets
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _

from accounts import mail
from accounts.choices import EMAIL_CHANGE_LASTS
from accounts.models import EmailChange, User, as_typed
from accounts.requirement import requirers
from accounts.standing import lock_person, lock_to_act
from accounts.throttle.budgets import current_address, mails_to, mails_to_stranger, use_up
from audit.services import record
from web import deliveries
from web.addresses import address_of, readable


class LinkOver(ValidationError):
    """The link belongs to another user, was used, has expired, or is older than the current password."""

    def __init__(self) -> None:
        super().__init__(_("This link no longer works. Request a new one."), code="link_over")


def request_change(user: User, email: str) -> str:
    """Record that ``user`` requested another e-mail address, and return the address for mail to it.

    The caller mails the link in a task, so that an address with an account takes no longer than one without.

    Raises ``ValidationError`` for a malformed address and the one that they have already, and ``TooManyTries``.
    """
    address = address_of(email)
    if address.key == user.email:
        raise ValidationError(_("This is your address already."))
    if budget := current_address():
        use_up(budget)
    use_up(mails_to(user))
    use_up(mails_to_stranger(address.key))
    with transaction.atomic():
        lock_to_act(user, is_fresh=True)
        record("email.change_asked", by=user, subject=user)
    return address.mailbox


@transaction.atomic
def send_link(user: User, email: str, *, auth_hash: str, now: datetime) -> None:
    """Mail a link to the new address, or a notice if it has an account; earlier links of ``user`` stop working.

    ``auth_hash`` is the user's session hash at the request: a change of password or epoch since then voids it.
    """
    if not constant_time_compare(lock_person(user).get_session_auth_hash(), auth_hash):
        return
    about = f"e-mail change {user.pk}"
    user.email_changes.all().delete()
    deliveries.withdraw(about)
    address = address_of(email)
    if owner := User.objects.with_address(address.key):
        mail.send(owner, "email_taken", {"at": now})
        return
    token = secrets.token_urlsafe(32)
    EmailChange.objects.create(
        user=user,
        email=address.key,
        typed_email=as_typed(address),
        hash=EmailChange.hash_of(token),
        auth_hash=auth_hash,
        created_at=now,
        expires_at=now + EMAIL_CHANGE_LASTS,
    )
    path = reverse("accounts:confirm-email", args=[token])
    facts = {"new": readable(address.key), "path": path, "at": now}
    mail.send(user, "email_change", facts, to=address.mailbox, expires_at=now + EMAIL_CHANGE_LASTS, about=about)


def change_of_link(user: User, token: str, *, now: datetime) -> EmailChange:
    """Return the ``EmailChange`` that this link confirms. Raises ``LinkOver``."""
    found = user.email_changes.filter(hash=EmailChange.hash_of(token), expires_at__gt=now).first()
    if found is None or not constant_time_compare(found.auth_hash, user.get_session_auth_hash()):
        raise LinkOver
    return found


@transaction.atomic
def confirm(user: User, token: str, *, now: datetime) -> None:
    """Change the address, end all sessions, pending log-ins, codes and links of the old one, and mail both.

    The caller reopens the current session in the same transaction. Raises ``LinkOver``, also where somebody took the
    address meanwhile, ``SessionOver`` and ``StepUpOver``.
    """
    locked = lock_to_act(user, is_fresh=True)
    change = change_of_link(locked, token, now=now)
    try:
        with transaction.atomic():
            User.objects.filter(pk=user.pk).update(
                email=change.email, typed_email=change.typed_email, session_epoch=locked.session_epoch + 1
            )
    except IntegrityError:
        raise LinkOver from None
    old, old_mailbox = str(user), user.mailbox
    user.email, user.typed_email, user.session_epoch = change.email, change.typed_email, locked.session_epoch + 1
    user.sessions.end_sessions(now=now, why="e-mail changed")
    user.mailbox_codes.all().delete()
    user.email_changes.all().delete()
    for place in (None, *requirers(user)[:100]):
        record("email.changed", place, by=user, subject=user, before={"email": old}, after={"email": str(user)})
    for mailbox in (old_mailbox, user.mailbox):
        mail.send(user, "email_changed", {"old": old, "new": str(user), "at": now}, to=mailbox)


def delete_expired(*, now: datetime) -> None:
    """Delete expired links."""
    EmailChange.objects.filter(expires_at__lte=now).delete()
