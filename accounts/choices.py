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
    """Why a round trip to a provider was started; its result serves that purpose alone."""

    LOG_IN = "log in"
    STEP_UP = "step up"
    LINK = "link"
    TRY = "try"  # an organisation's own provider, before it is turned on; opens and links nothing


class Decision(StrEnum):
    """What the gate decides about a session."""

    LET_IN = "let in"
    VERIFY = "verify"  # ask for a factor that the user has
    ENROL = "enrol"  # ask the user to set one up


class MailPurpose(models.TextChoices):
    """What a mailed code is for; it is valid for nothing else."""

    ENROL = "enrol", _("setting up a first factor")
    STEP_UP = "step_up", _("confirming who you are")


PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"  # noqa: S105 - a dotted path
PASSKEY_BACKEND = "django_otp_webauthn.backends.WebAuthnBackend"
RECOVERY = "recovery"  # takes the place of a device's id when a recovery code was used

STEP_UP_LASTS = timedelta(minutes=10)
MAILBOX_CODE_LASTS = timedelta(minutes=10)
EMAIL_CHANGE_LASTS = timedelta(hours=1)
ROUND_TRIP_LASTS = timedelta(minutes=30)  # to a provider and back; the library has the same limit
ANONYMOUS_SESSION_LASTS = 900  # seconds; for a visitor who started to log in and has not finished
PENDING_LOGIN_LASTS = timedelta(minutes=5)
RECOVERY_CODE_COUNT = 10
FEW_RECOVERY_CODES = 3
