"""Choices of bulk changes."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class ItemState(models.TextChoices):
    """What a bulk change did in one environment."""

    WAITING = "waiting", _("Waiting")
    CHANGED = "changed", _("Changed")
    PENDING = "pending", _("Pending")  # it waits for its date, or for ``COOLING_OFF_HOURS``
    UNCHANGED = "unchanged", _("Unchanged")
    REFUSED = "refused", _("Refused")  # a lock or a missing permission, with the reason
    FAILED = "failed", _("Failed")  # an error of ours; the log has more
