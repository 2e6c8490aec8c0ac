"""Constants of the accounts room."""

from datetime import timedelta
from enum import StrEnum

from django.db import models
from django.utils.translation import gettext_lazy as _


class OpenedBy(models.TextChoices):
    """How a session was opened."""

    PASSWORD = "password", _("password")
    SSO = "sso", _("single sign-on")
    PASSKEY = "passkey", _("passkey")


class ProviderKind(StrEnum):
    """What an SSO provider is: any that speaks OpenID Connect, or one with rules of its own."""

    OIDC = "oidc"
    GOOGLE = "google"
    ENTRA = "entra"


class SsoPurpose(StrEnum):
    """What a round trip to a provider was begun for; it is good for nothing else."""

    LOG_IN = "log in"
    STEP_UP = "step up"
    LINK = "link"


class Decision(StrEnum):
    """What the gate answers to a session."""

    LET_IN = "let in"
    VERIFY = "verify"  # ask for a factor that the user has
    ENROL = "enrol"  # ask the user to set one up


class MailPurpose(models.TextChoices):
    """What a code from the mailbox is good for; it opens nothing else."""

    ENROL = "enrol", _("setting up a first factor")
    STEP_UP = "step_up", _("confirming who you are")


PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"  # noqa: S105 - a dotted path
PASSKEY_BACKEND = "django_otp_webauthn.backends.WebAuthnBackend"
RECOVERY = "recovery"  # stands where a device's id would, when a recovery code was passed

STEP_UP_LASTS = timedelta(minutes=10)
MAILBOX_CODE_LASTS = timedelta(minutes=10)
EMAIL_CHANGE_LASTS = timedelta(hours=1)
ROUND_TRIP_LASTS = timedelta(minutes=30)  # to a provider and back, as its library has it
ANONYMOUS_SESSION_LASTS = 900  # seconds: of somebody who began a way in, and did not take it yet
PENDING_LOGIN_LASTS = timedelta(minutes=5)
RECOVERY_CODE_COUNT = 10
FEW_RECOVERY_CODES = 3
