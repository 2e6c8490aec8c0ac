"""Constants of the accounts room."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class OpenedBy(models.TextChoices):
    """How a session was opened."""

    PASSWORD = "password", _("password")
    SSO = "sso", _("single sign-on")
    PASSKEY = "passkey", _("passkey")
