"""What the table of environments can show alone, and its orders."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from environments.choices import LONGEST_LIMIT_DAYS, Permission


class Limit(models.TextChoices):
    """Effective limits, in ranges."""

    NONE = "none", _("Kept forever")
    UP_TO_90 = "up-to-90", _("Up to 90 days")
    UP_TO_365 = "up-to-365", _("91–365 days")
    UP_TO_730 = "up-to-730", _("366–730 days")
    LONGER = "longer", _("Longer")

    @property
    def days(self) -> tuple[int, int] | None:
        """The lowest and the highest number of days; None without a limit."""
        spans = {
            Limit.UP_TO_90: (1, 90),
            Limit.UP_TO_365: (91, 365),
            Limit.UP_TO_730: (366, 730),
            Limit.LONGER: (731, LONGEST_LIMIT_DAYS),
        }
        return spans.get(self)


class Age(models.TextChoices):
    """How old the oldest data of an environment is, by its last check, in ranges of days."""

    UP_TO_30 = "up-to-30", _("Up to 30 days")
    UP_TO_90 = "up-to-90", _("31–90 days")
    UP_TO_365 = "up-to-365", _("91–365 days")
    UP_TO_730 = "up-to-730", _("366–730 days")
    LONGER = "longer", _("Longer")
    NONE = "none", _("No data known")

    @property
    def number(self) -> int | None:
        """Which of the ranges between ``AGE_BOUNDS`` it is, the oldest first; None without data."""
        oldest_first = [Age.LONGER, Age.UP_TO_730, Age.UP_TO_365, Age.UP_TO_90, Age.UP_TO_30]
        return oldest_first.index(self) if self in oldest_first else None


AGE_BOUNDS = (730, 365, 90, 30)  # days


class Seek(models.TextChoices):
    """What an environment can need attention for."""

    WITHOUT_FACTOR = "without_factor", _("People without a second factor")
    LATE = "late", _("Late deletions")
    PAUSED = "paused", _("Purge paused")
    GUARDED = "guarded", _("Purge needs confirmation")
    UNCHECKED = "unchecked", _("Not checked yet")
    PENDING = "pending", _("Pending changes")
    HELD = "held", _("Legal holds")
    REQUESTS = "requests", _("Access requests")
    SUSPENDED = "suspended", _("Suspended")

    @property
    def needs(self) -> Permission:
        """The permission to see it."""
        return {
            Seek.WITHOUT_FACTOR: Permission.MANAGE_MEMBERS,
            Seek.REQUESTS: Permission.ANSWER_ACCESS_REQUESTS,
            Seek.PENDING: Permission.VIEW,
            Seek.SUSPENDED: Permission.VIEW,
        }.get(self, Permission.READ_AUDIT_LOG)


class Order(models.TextChoices):
    """Orders of the table; without one, environments follow the tree, below headings."""

    FLAT = "flat", _("As a tree, without headings")
    NAME = "name", _("By name")
    SHORTEST = "shortest", _("Shortest limit first")
    LONGEST = "longest", _("Kept longest first")
    NEWEST = "newest", _("Newest environment first")
    OLDEST_DATA = "oldest-data", _("Oldest data first")

    @property
    def needs(self) -> Permission:
        """The permission to see what it orders by."""
        return Permission.READ_AUDIT_LOG if self == Order.OLDEST_DATA else Permission.VIEW
