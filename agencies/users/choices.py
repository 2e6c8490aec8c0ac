"""What the list of users can show alone, and its orders."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from environments.roster import HAS_FACTOR, LACKS_FACTOR


class LogIn(models.TextChoices):
    """Ways to log in; a person can have several of them, or none yet."""

    PASSWORD = "password", _("Password")
    SSO = "sso", _("SSO")
    PASSKEY = "passkey", _("Passkey")
    NONE = "none", _("Not yet")

    @property
    def condition(self) -> Q:
        """The condition on people with the columns of ``roster.people_with``."""
        return {
            LogIn.PASSWORD: Q(has_password=True),
            LogIn.SSO: Q(has_sso=True),
            LogIn.PASSKEY: Q(has_passkey=True),
            LogIn.NONE: Q(has_password=False, has_sso=False, has_passkey=False),
        }[self]


class Factor(models.TextChoices):
    """What a required second factor would mean to somebody."""

    WITHOUT = "without", _("Without a factor")
    WITH = "with", _("With a factor")
    BY_SSO = "by-sso", _("By SSO")

    @property
    def condition(self) -> Q:
        """The condition on people with the columns of ``roster.people_with``."""
        return {
            Factor.WITHOUT: LACKS_FACTOR,
            Factor.WITH: HAS_FACTOR,
            Factor.BY_SSO: ~HAS_FACTOR & ~LACKS_FACTOR,
        }[self]


class Order(models.TextChoices):
    """Orders of the list; without one, people are in the order of their addresses."""

    NAME = "name", _("By name")
    PLACE = "place", _("By organisation")
    MOST = "most", _("Most memberships first")
    LATEST = "latest", _("Active last first")
    LONGEST_AGO = "longest-ago", _("Active longest ago first")
