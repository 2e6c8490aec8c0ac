"""Read a list of organisations to create: a line each, "kind,name[,short name[,short name above[,template]]]"."""

from dataclasses import dataclass, field
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.names import is_storable
from agencies.models import OrganisationTemplate
from environments.choices import Kind
from environments.models import Organisation
from web.spreadsheets import read_rows

MOST_LINES: Final = 1_000
MOST_WITH_TEMPLATE: Final = 100  # each is changed by the services of one change, in the same transaction
CELLS: Final = 5
HEADS: Final = frozenset({"kind", "soort", "type"})
UNREADABLE: Final = "\ufffd"  # what a browser makes of bytes that are not UTF-8


@dataclass(slots=True)
class Line:
    """An organisation to create; ``faults`` say why it cannot be."""

    number: int  # in the list, from 1
    typed_kind: str
    name: str
    slug: str  # as typed; empty: made from the name
    slug_above: str  # as typed; empty: the organisation of the page
    typed_template: str  # its name; empty: none
    faults: list[str] = field(default_factory=list)
    organisation: Organisation = field(default_factory=Organisation)  # not stored yet
    above: Organisation | None = None  # stored, or the ``organisation`` of another line
    template: OrganisationTemplate | None = None

    @property
    def badge(self) -> str:
        return "late" if self.faults else "pending"

    @property
    def words(self) -> str:
        return _("Refused") if self.faults else _("Will be created")


def read_lines(text: str) -> list[Line]:
    """Return the organisations of a list, those that cannot be read with their faults.

    Separators are commas, semicolons or tabs, by the first line; a head is left out. Raises ``ValidationError`` for a
    list that is empty, longer than ``MOST_LINES`` or no CSV.
    """
    if not is_storable(text):
        raise ValidationError(_("This list has characters that cannot be stored."))
    rows = list(read_rows(text, heads=HEADS))
    if not rows:
        raise ValidationError(_("There is no organisation on this list."))
    if len(rows) > MOST_LINES:
        message = _("A list can have at most %(most)s lines; this one has %(count)s.")
        raise ValidationError(message % {"most": MOST_LINES, "count": len(rows)})
    lines = [_read_line(number, cells) for number, cells in rows]
    if sum(bool(line.typed_template) for line in lines) > MOST_WITH_TEMPLATE:
        message = _("At most %(most)s lines can have a template.")
        raise ValidationError(message % {"most": MOST_WITH_TEMPLATE})
    return lines


def _read_line(number: int, cells: list[str]) -> Line:
    kind, name, slug, above, template, *more = [*cells, *[""] * CELLS][: max(CELLS, len(cells))]
    line = Line(number, kind, name, slug, above, template)
    line.organisation = Organisation(kind=_kind_of(line), name=name, slug=slug)
    if any(UNREADABLE in cell for cell in cells):
        line.faults.append(_("A character cannot be read. Save the file as UTF-8."))
    if any(more):
        line.faults.append(_("A line has a kind, a name, two short names and a template; this one has more."))
    return line


def _kind_of(line: Line) -> str:
    typed = line.typed_kind.casefold()
    for kind in Kind:
        if typed in (kind.value, str(kind.label).casefold()):
            return kind.value
    kinds = ", ".join(str(kind.label) for kind in Kind)
    line.faults.append(_("Unknown kind: %(kind)s. Kinds are: %(kinds)s.") % {"kind": line.typed_kind, "kinds": kinds})
    return ""
