"""What the switcher finds beside environments: people, and conversations and contacts by their ids."""

from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from conversations.models import Contact, Conversation
from environments.access import Granted, granted_to, is_reached, permissions_in, sees_everything
from environments.caller import Caller
from environments.choices import Kind, Permission
from environments.models import Membership, Organisation
from studio.switcher import Choice, ChoiceGroup
from web.addresses import as_kept, readable

MOST_PEOPLE = 5
FEWEST_LETTERS = 2  # fewer find too many people


def find_others(caller: Caller, words: str, *, current: str, now: datetime) -> list[ChoiceGroup]:
    """Return the people with ``words`` in their name or address, where the caller manages members, and what has an id.

    Those are the readable conversations and contacts with ``words`` as their id in the environment ``current``, a short
    name. At most five queries.
    """
    granted = granted_to(caller)
    found = {_("People"): _people(caller, words, granted), **_with_id(caller, words, current, granted, now=now)}
    return [ChoiceGroup(title, choices) for title, choices in found.items() if choices]


def _people(caller: Caller, words: str, granted: list[Granted]) -> list[Choice]:
    managed = [
        each
        for each in granted
        if each.has(Permission.MANAGE_MEMBERS) and is_reached(caller, each.path, [each], is_suspended=each.is_suspended)
    ]
    if len(words) < FEWEST_LETTERS or not (managed or sees_everything(caller)):
        return []
    columns = ("user", "user__name", "user__email", "pk", "organisation__slug", "organisation__path")
    return [
        Choice(name or readable(email), _page_of_person(managed, user, pk, slug, path), note=readable(email))
        for user, name, email, pk, slug, path in _memberships(words, managed).values_list(*columns)[:MOST_PEOPLE]
    ]


def _memberships(words: str, managed: list[Granted]) -> QuerySet[Membership]:
    """Return one membership, the uppermost, of each person who is found; everywhere where nothing is ``managed``."""
    places = Q()
    for each in managed:
        places |= Q(organisation__path__gte=each.path, organisation__path__lt=each.path + "~")
    named = Q(user__name__icontains=words) | Q(user__email__icontains=as_kept(words))
    found = Membership.objects.live().filter(places, named, user__is_active=True)
    return found.order_by("user__email", "organisation__path").distinct("user__email")


def _page_of_person(managed: list[Granted], user: int, pk: int, slug: str, path: str) -> str:
    """Return the address of everything that the person reaches where the caller manages it, or of the membership."""
    for each in managed:
        if each.kind != Kind.ENVIRONMENT and path.startswith(each.path):
            return reverse("agencies:user", args=[each.slug, user])
    return reverse("environments:member", args=[slug, pk])


def _with_id(
    caller: Caller, words: str, slug: str, granted: list[Granted], *, now: datetime
) -> dict[str, list[Choice]]:
    environment = Organisation.objects.live().environments().filter(slug=slug).first()
    if environment is None:
        return {}
    if Permission.READ_CONVERSATIONS not in permissions_in(caller, environment, granted=granted):
        return {}
    has_id = Q(external_id=words)
    if uuid := _uuid_in(words):
        has_id |= Q(uuid=uuid)
    conversations = Conversation.objects.readable(now, environment=environment).filter(has_id)
    contacts = Contact.objects.readable(now, environment=environment).filter(has_id)
    return {
        _("Conversations"): [
            Choice(external_id, reverse("conversations:detail", args=[slug, uuid]), note=channel)
            for uuid, external_id, channel in conversations.values_list("uuid", "external_id", "channel")
        ],
        _("Contacts"): [
            Choice(name or external_id, reverse("conversations:contact", args=[slug, uuid]), note=external_id)
            for uuid, name, external_id in contacts.values_list("uuid", "name", "external_id")
        ],
    }


def _uuid_in(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None
