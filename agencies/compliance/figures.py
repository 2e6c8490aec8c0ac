"""The figures of the page: what each counts, and which list shows what it counts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from django.db import models
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from agencies.environment_table.choices import Age, Limit, Seek
from environments.choices import Permission
from environments.models import Organisation

ENVIRONMENTS = "agencies:environments"
PEOPLE, KEYS, ACCESS, PROVIDERS = (f"agencies:compliance-{each}" for each in ("people", "keys", "access", "providers"))


class Group(models.TextChoices):
    """The parts of the page that have figures."""

    DELETION = "deletion", _("Deletion")
    SETTINGS = "settings", _("Settings")
    ACCESS = "access", _("Access")
    LIMITS = "limits", _("Environments by limit")
    AGES = "ages", _("Environments by their oldest data")

    @property
    def is_chart(self) -> bool:
        """Whether its figures are the parts of a whole, which the page shows as bars."""
        return self in {Group.LIMITS, Group.AGES}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure, and the list of what it counts: a view, and the filter in its query string.

    An environment has no table of environments: there ``of_one`` names the page that shows the same.
    """

    name: str
    label: str | Promise
    group: Group
    view_name: str = ENVIRONMENTS
    query: Mapping[str, str] = field(default_factory=dict)
    needs: Permission = Permission.READ_AUDIT_LOG
    of_one: str = "environments:home"

    def address(self, organisation: Organisation) -> str:
        """Return the address of the first page of the list."""
        is_of_one = self.view_name == ENVIRONMENTS and organisation.is_environment
        address = reverse(self.of_one if is_of_one else self.view_name, args=[organisation.slug])
        return f"{address}?{urlencode(self.query)}" if self.query and not is_of_one else address


def _sought(seek: Seek, label: str | Promise, group: Group, of_one: str) -> Figure:
    return Figure(seek.value, label, group, query={"show": seek.value}, of_one=of_one)


LEDGER = "archival:ledger"
FIGURES = (
    Figure("environments", _("Environments"), Group.DELETION),
    _sought(Seek.LATE, _("Late"), Group.DELETION, LEDGER),
    _sought(Seek.PAUSED, _("Paused"), Group.DELETION, LEDGER),
    _sought(Seek.GUARDED, _("Needs confirmation"), Group.DELETION, LEDGER),
    _sought(Seek.HELD, _("Held"), Group.DELETION, LEDGER),
    _sought(Seek.UNCHECKED, _("Not checked yet"), Group.DELETION, LEDGER),
    Figure("kept_forever", _("Kept forever"), Group.SETTINGS, query={"archival": Limit.NONE.value}),
    Figure("without_mfa", _("Without MFA"), Group.SETTINGS, query={"mfa": "not-required"}),
    _sought(Seek.PENDING, _("Pending changes"), Group.SETTINGS, "environments:home"),
    Figure(
        "people_without_factor",
        _("Without a factor"),
        Group.ACCESS,
        view_name=PEOPLE,
        needs=Permission.MANAGE_MEMBERS,
    ),
    Figure(
        "expiring_access", _("Access that expires"), Group.ACCESS, view_name=ACCESS, needs=Permission.MANAGE_MEMBERS
    ),
    Figure("expiring_keys", _("API keys that expire"), Group.ACCESS, view_name=KEYS, needs=Permission.MANAGE_API_KEYS),
    Figure(
        "providers_off",
        _("Identity providers off"),
        Group.ACCESS,
        view_name=PROVIDERS,
        needs=Permission.MANAGE_PROVIDERS,
    ),
    *(
        Figure(f"limit_{limit.value}", limit.label, Group.LIMITS, query={"archival": limit.value})
        for limit in [*list(Limit)[1:], Limit.NONE]
    ),
    *(
        Figure(f"oldest_{age.value}", age.label, Group.AGES, query={"oldest": age.value}, of_one="archival:ages")
        for age in Age
    ),
)
