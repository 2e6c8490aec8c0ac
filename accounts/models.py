"""Users, their factors and sessions, and budgets of failed tries."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin, TimestampMixin

from accounts import totp
from accounts.browsers import browser_name
from accounts.choices import MailPurpose, OpenedBy
from accounts.names import validate_name
from web import addresses
from web.clock import in_calendar


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user; without ``password`` they log in by SSO or after a password reset.

        Raises ``ValidationError`` for a malformed e-mail address or one that is taken in any spelling.
        """
        try:
            address = addresses.address_of(email)
        except ValidationError as error:
            raise ValidationError({"email": error}) from error
        user = self.model(email=address.key, typed_email=as_typed(address), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the user with this e-mail address in any spelling. Raises ``User.DoesNotExist``."""
        if (user := self.with_address(username or "")) is None:
            raise self.model.DoesNotExist
        return user

    def with_address(self, email: str) -> "User | None":
        """Narrow to the user with this address in any spelling. One query.

        Rows from before there was a normal form, whose domain is in another script, are found by their own spelling.
        """
        typed, key = email.strip().lower(), self.normalise(email)
        found = self.filter(email__in={typed, key})
        return min(found, key=lambda user: user.email != typed, default=None)

    @staticmethod
    def normalise(email: str) -> str:
        """Return the spelling in which an address is stored and compared."""
        return addresses.key_of(email)


def as_typed(address: addresses.Address) -> str:
    """Return the address as typed, or an empty string where it equals the normal form."""
    return address.mailbox if address.mailbox != address.key else ""


class User(AbstractBaseUser):  # type: ignore[django-manager-missing]
    """A person who logs in to Studio: a member of organisations, or a super user."""

    actor_kind: ClassVar[str] = "person"

    email = models.EmailField(
        _("e-mail"),
        max_length=254,
        unique=True,
        error_messages={"unique": _("This e-mail address is taken.")},
    )
    typed_email = models.CharField(max_length=254, blank=True, default="", db_default="")  # empty: as ``email``
    name = models.CharField(_("name"), max_length=255, blank=True)
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField(default=False)
    language = models.CharField(_("language"), max_length=10, blank=True)  # empty: what the browser asks for
    time_zone = models.CharField(_("time zone"), max_length=64, default="Europe/Amsterdam")
    session_epoch = models.PositiveIntegerField(default=0)  # increment to end every session of this user
    link_epoch = models.PositiveIntegerField(default=0, db_default=0)  # increment to end every link for a new password
    created_at = models.DateTimeField(default=timezone.now)
    last_active_at = models.DateTimeField(null=True, blank=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            # Kept in lower case, so that unique means: without regard to case.
            models.CheckConstraint(condition=Q(email=Lower("email")), name="email_is_lower_case"),
            models.CheckConstraint(
                condition=Q(typed_email="") | Q(email=Lower("typed_email")), name="typed_email_is_the_same_address"
            ),
            models.CheckConstraint(
                condition=in_calendar("created_at", "last_active_at", "last_login"), name="user_is_in_the_calendar"
            ),
        ]

    def __str__(self) -> str:
        return addresses.readable(self.email)

    def clean(self) -> None:
        super().clean()
        try:
            self.email = addresses.address_of(self.email).key
        except ValidationError as error:
            raise ValidationError({"email": error}) from error
        try:
            validate_name(self.name)
        except ValidationError as error:
            raise ValidationError({"name": error}) from error

    @property
    def label(self) -> str:
        return self.name or addresses.readable(self.email)

    @property
    def mailbox(self) -> str:
        """The address for mail to this user, as they typed it."""
        return self.typed_email or self.email

    @property
    def initials(self) -> str:
        words = (self.name or self.email.split("@")[0].replace(".", " ")).split()
        return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()

    def check_password(self, raw_password: str | None) -> bool:
        """Return whether this is the password; replaces the hash if its algorithm is an older one.

        Unlike Django, it does not overwrite a password that was changed meanwhile: that would restore the old one.
        """

        def make_anew(password: str) -> None:
            anew = make_password(password)
            if User.objects.filter(pk=self.pk, password=self.password).update(password=anew):
                self.password = anew

        return check_password(raw_password, self.password, make_anew)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        # The underscored method also serves SECRET_KEY_FALLBACKS; the epoch makes "end all sessions" one UPDATE.
        value = f"{self.password}|{self.session_epoch}"
        return salted_hmac("studio.session", value, secret=secret, algorithm="sha256").hexdigest()


class TotpDevice(TimestampMixin, ThrottlingMixin, Device):  # type: ignore[misc]
    """An authenticator app. Its secret is encrypted at rest and bound to its user; see ``accounts.totp``.

    Only ``accounts.factors.services`` verifies codes: ``verify_token`` without a lock on the row is a race.
    """

    secret = models.BinaryField(editable=False)
    last_step = models.BigIntegerField(default=-1)  # of the last accepted code: each works once
    drift = models.SmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("created_at", "last_used_at", "throttling_failure_timestamp"),
                name="app_is_in_the_calendar",
            )
        ]

    def get_throttle_factor(self) -> int:
        return 0  # failures are counted per user, over all factors: FailureBudget

    def verify_token(self, token: str) -> bool:
        key = totp.unseal(bytes(self.secret), user_id=self.user_id)
        accepted = totp.match(key, token, last_step=self.last_step, drift=self.drift)
        if accepted is None:
            return False
        self.last_step, self.drift = accepted
        self.set_last_used_timestamp(commit=False)
        self.save(update_fields=["last_step", "drift", "last_used_at"])
        return True


class RecoveryCode(models.Model):
    """A code that replaces a lost device, once. Only its hash is stored."""

    user = models.ForeignKey(User, models.CASCADE, related_name="recovery_codes")
    hash = models.CharField(max_length=64)  # SHA-256 of the code: 80 random bits need no stretching
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("user", "hash", name="recovery_code_is_unique"),
            models.CheckConstraint(
                condition=in_calendar("created_at", "used_at"), name="recovery_code_is_in_the_calendar"
            ),
        ]

    @staticmethod
    def hash_of(code: str) -> str:
        return hashlib.sha256(code.encode()).hexdigest()


class SessionRecordQuerySet(models.QuerySet["SessionRecord"]):
    def open(self) -> "SessionRecordQuerySet":
        return self.filter(ended_at=None)

    def end_sessions(self, *, now: datetime, why: str) -> int:
        return self.open().update(ended_at=now, ended_why=why)


class SessionRecord(models.Model):
    """The record of a log-in: how it was opened, when a factor was last passed, and when it ended."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sessions")
    key_hash = models.CharField(max_length=64, unique=True)  # SHA-256 of a random id kept in the session
    opened_by = models.CharField(max_length=10, choices=OpenedBy)
    backend = models.CharField(max_length=120)
    opened_at = models.DateTimeField(default=timezone.now)
    factor = models.CharField(max_length=80, blank=True)  # a device's persistent id, or "recovery"
    factor_at = models.DateTimeField(null=True)  # when that factor was last passed
    stepped_up_at = models.DateTimeField(null=True)  # last proof of presence: a factor, fresh SSO, or a mailed code
    opened_with = models.CharField(max_length=80, blank=True, default="", db_default="")  # the passkey that opened it
    basis = models.JSONField(null=True)  # of SSO: ``accounts.providers.basis_of``; None in sessions of older releases
    is_provider_proof = models.BooleanField(default=False)  # the provider had to prove MFA (amr, acr)
    last_seen_at = models.DateTimeField(default=timezone.now)
    address = models.GenericIPAddressField(null=True)
    browser = models.CharField(max_length=200, blank=True)
    ended_at = models.DateTimeField(null=True)
    ended_why = models.CharField(max_length=40, blank=True)
    # Impersonation: which member's view this session has, below which organisation (a plain id), until when.
    looks_as = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", db_index=False)
    looks_in_id = models.BigIntegerField(null=True)
    looks_until = models.DateTimeField(null=True)

    factors: Sequence[str] = ()  # persistent ids of the user's apps and passkeys, where the session guard loaded it

    objects = SessionRecordQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(looks_as=None, looks_in_id=None, looks_until=None)
                | Q(looks_in_id__isnull=False, looks_until__isnull=False),
                name="looks_as_somebody_somewhere_until_then",
            ),
            models.CheckConstraint(
                condition=in_calendar(
                    "opened_at", "factor_at", "stepped_up_at", "last_seen_at", "ended_at", "looks_until"
                ),
                name="session_is_in_the_calendar",
            ),
        ]
        indexes = [models.Index("user", condition=Q(ended_at=None), name="open_sessions")]

    @property
    def browser_name(self) -> str:
        """Browser and system, such as "Firefox on Linux", from the User-Agent; for display only."""
        return browser_name(self.browser)

    @staticmethod
    def hash_of(session_id: str) -> str:
        return hashlib.sha256(session_id.encode()).hexdigest()


class FailureBudget(models.Model):
    """How many tries a key (a user, an address, an e-mail address) has failed; committed apart from the request."""

    key = models.CharField(max_length=100, unique=True)
    failures = models.PositiveIntegerField(default=0)
    since = models.DateTimeField()  # of the last try
    is_told = models.BooleanField(default=False)  # its exhaustion was recorded

    class Meta:
        constraints = [models.CheckConstraint(condition=in_calendar("since"), name="budget_is_in_the_calendar")]


class EmailChange(models.Model):
    """A link, mailed to a new address, that makes it the user's address. Only the token's hash is stored."""

    user = models.ForeignKey(User, models.CASCADE, related_name="email_changes")
    email = models.EmailField(max_length=254)
    typed_email = models.CharField(max_length=254, blank=True, default="", db_default="")  # empty: as ``email``
    hash = models.CharField(max_length=64, unique=True)  # SHA-256 of the token: 256 random bits need no stretching
    auth_hash = models.CharField(max_length=64)  # of the session that asked: a new password ends the link
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("created_at", "expires_at"), name="email_change_is_in_the_calendar"
            )
        ]

    @staticmethod
    def hash_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()


class MailboxCode(models.Model):
    """A one-time code mailed to a user before their first factor, or for step-up without a factor."""

    user = models.ForeignKey(User, models.CASCADE, related_name="mailbox_codes")
    purpose = models.CharField(max_length=20, choices=MailPurpose)
    hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("created_at", "expires_at", "used_at"), name="mailbox_code_is_in_the_calendar"
            )
        ]
