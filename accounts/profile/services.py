"""Changing one's own profile."""

from collections.abc import Mapping

from django.conf import settings
from django.db import transaction
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
        raise ChangedMeanwhile(_("Your profile has: %(values)s.") % {"values": _in_words(replaced)})
    for name in FIELDS:
        setattr(user, name, to[name])
    user.save(update_fields=FIELDS)


def _in_words(values: Mapping[str, str]) -> str:
    labels = {"name": _("name"), "language": _("language"), "time_zone": _("time zone")}
    languages = {"": _("Language of the browser"), **dict(settings.LANGUAGES)}
    shown = {name: str(languages[value] if name == "language" else value) for name, value in values.items()}
    return ", ".join(f"{labels[name]}: {value.replace('_', ' ') or '–'}" for name, value in shown.items())
