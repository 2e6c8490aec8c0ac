"""Write the counts of a receipt as words, for the output of commands and for buttons."""

from collections.abc import Mapping

from django.utils.formats import number_format
from django.utils.translation import ngettext

from archival.choices import COUNTS


def counts_in_words(counts: Mapping[str, int]) -> str:
    """Return the counts by kind as one list, such as "2 conversations, 3 messages"."""
    return ", ".join(count_in_words(kind, counts[kind]) for kind in COUNTS)


def count_in_words(kind: str, number: int) -> str:
    match kind:
        case "conversations":
            words = ngettext("%(number)s conversation", "%(number)s conversations", number)
        case "messages":
            words = ngettext("%(number)s message", "%(number)s messages", number)
        case "variables":
            words = ngettext("%(number)s variable", "%(number)s variables", number)
        case "attachments":
            words = ngettext("%(number)s attachment", "%(number)s attachments", number)
        case "contacts":
            words = ngettext("%(number)s contact", "%(number)s contacts", number)
        case _:
            words = ngettext("%(number)s byte", "%(number)s bytes", number)
    return words % {"number": number_format(number, use_l10n=True, force_grouping=True)}
