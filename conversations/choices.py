"""Constants of the conversations room."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class MessageRole(models.TextChoices):
    USER = "user", _("contact")
    BOT = "bot", _("bot")


class Outcome(models.TextChoices):
    """What ingest did with one conversation."""

    STORED = "stored", _("stored")
    UNCHANGED = "unchanged", _("unchanged")
    REFUSED = "refused", _("refused")
