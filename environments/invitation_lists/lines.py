"""Read a list of people to invite: a line each, "email,roles[,until]", as people paste it or a spreadsheet saves it."""

import csv
import io
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from environments.choices import Role, labels_of
from environments.filters import LastDayField
from web.addresses import Address, address_of
from web.spreadsheets import read_rows

MOST_LINES: Final = 500
BETWEEN_ROLES: Final = re.compile(r"[+|/&;,]")
HEADS: Final = frozenset({"email", "e-mail", "email address", "e-mail address", "mail", "e-mailadres", "adres"})
DAYS: Final = ["%Y-%m-%d", "%d-%m-%Y"]

# What a line leads to: the badge, and its words before and after the invitations are sent.
STATES: Final[dict[str, tuple[str, Promise]]] = {
    "invite": ("pending", gettext_lazy("Will be invited")),
    "invited": ("on", gettext_lazy("Invited")),
    "open": ("off", gettext_lazy("Is invited already")),
    "member": ("off", gettext_lazy("Is a member already")),
    "refused": ("late", gettext_lazy("Refused")),
}


@dataclass(slots=True)
class Line:
    """A person to invite: ``why_not`` says why a line is refused, ``replaces`` the roles of an invitation that ends."""

    number: int  # in the list, from 1
    text: str
    typed: str = ""  # the address
    address: Address | None = None
    roles: list[str] = field(default_factory=list)
    until: datetime | None = None
    state: str = "invite"
    why_not: str = ""
    replaces: list[str] = field(default_factory=list)

    def refuse(self, why: str) -> None:
        self.state, self.why_not = "refused", why

    @property
    def badge(self) -> str:
        return STATES[self.state][0]

    @property
    def words(self) -> str:
        return str(STATES[self.state][1])

    @property
    def role_labels(self) -> list[str]:
        return labels_of(self.roles)

    @property
    def replaced_labels(self) -> list[str]:
        return labels_of(self.replaces)


def read_lines(text: str) -> list[Line]:
    """Return the people of a list, those that cannot be read as refused; the days end in the current time zone.

    Separators are commas, semicolons or tabs, by the first line; a head is left out. Raises ``ValidationError`` for a
    list that is empty, longer than ``MOST_LINES`` or no CSV.
    """
    rows = list(read_rows(text, heads=HEADS))
    if not rows:
        raise ValidationError(_("There is nobody on this list."))
    if len(rows) > MOST_LINES:
        message = _("A list can have at most %(most)s lines; this one has %(count)s.")
        raise ValidationError(message % {"most": MOST_LINES, "count": len(rows)})
    seen: dict[str, int] = {}
    return [_read_line(number, cells, seen) for number, cells in rows]


def _read_line(number: int, cells: list[str], seen: dict[str, int]) -> Line:
    typed, roles, until, *more = [*cells, "", ""] if len(cells) < 3 else cells
    line = Line(number, _as_csv(cells), typed)
    try:
        line.address = address_of(typed)
        if (first := seen.setdefault(line.address.key, number)) != number:
            line.refuse(_("The same address is in line %(number)s.") % {"number": first})
            return line
        line.roles = _roles_of(roles)
        line.until = LastDayField(required=False, input_formats=DAYS).clean(until)
        if any(more):
            line.refuse(_("A line has an address, roles and a day; this one has more."))
    except ValidationError as error:
        line.refuse(" ".join(error.messages))
    return line


def _as_csv(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _roles_of(text: str) -> list[str]:
    """Return the roles that a cell names, by their names in the language of the page or as REST names them."""
    known = {_key(str(name)): role.value for role in Role for name in (role.value, role.label)}
    names = [name.strip() for name in BETWEEN_ROLES.split(text) if name.strip()]
    if not names:
        raise ValidationError(_("Choose at least one role."))
    if unknown := [name for name in names if _key(name) not in known]:
        raise ValidationError(_("Unknown role: %(roles)s") % {"roles": ", ".join(unknown)})
    return sorted({known[_key(name)] for name in names})


def _key(name: str) -> str:
    return name.lower().replace(" ", "_")
