"""Changing one's own profile."""

from collections.abc import Mapping

from django.conf import settings
from django.db import transaction
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.standing import lock_person
from web.versions import ChangedMeanwhile, is_seen

FIELDS = ("name", "language", "time_zone")


def profile_of(user: User) -> dict[str, str]:
    return {name: getattr(user, name) for name in FIELDS}


@transaction.atomic
def change_profile(user: User, to: Mapping[str, str], *, seen: str | None = None) -> None:
    """Store ``to``, which has the keys of ``profile_of``.

    Raises ``ChangedMeanwhile`` if the profile is not the one whose version is ``seen``.
    """
    before = profile_of(lock_person(user))
    replaced = {name: value for name, value in before.items() if value != to[name]}
    if replaced and not is_seen(seen, before):
        raise ChangedMeanwhile(_("Your profile now has %(values)s.") % {"values": _in_words(replaced)})
    for name in FIELDS:
        setattr(user, name, to[name])
    user.save(update_fields=FIELDS)


def _in_words(values: Mapping[str, str]) -> str:
    """Return these fields of a profile as the end of a sentence, such as: the name “Ada” and the language English."""
    languages = {"": _("Language of the browser"), **dict(settings.LANGUAGES)}
    words = {
        "name": _("the name “%(value)s”") if values.get("name") else _("no name"),
        "language": _("the language %(value)s") if values.get("language") else _("the language of the browser"),
        "time_zone": _("the time zone %(value)s"),
    }
    shown = {**values, "time_zone": values.get("time_zone", "").replace("_", " ")}
    shown["language"] = str(languages[values.get("language", "")])
    return get_text_list([words[name] % {"value": shown[name]} for name in values], _("and"))
