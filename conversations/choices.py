"""Constants of the conversations room."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class MessageRole(models.TextChoices):
    USER = "user", _("contact")
    BOT = "bot", _("bot")
