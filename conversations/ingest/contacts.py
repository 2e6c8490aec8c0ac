"""Create or merge contacts by their id, and lock them until the transaction ends."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.backends.utils import CursorWrapper

from conversations.fields import to_json
from conversations.ingest.limits import VariablesSize, is_plainly_within
from environments.models import Organisation


class TooManyVariables(Exception):
    """Some contacts would have too many variables; ``stored`` has their present ones, by contact id."""

    def __init__(self, stored: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self.stored = stored


@dataclass(slots=True)
class Profile:
    """Name, variables and last activity of a contact, as ingest got them."""

    name: str
    variables: dict[str, Any]
    last_activity_at: datetime

    def merge(self, name: str, variables: dict[str, Any], at: datetime) -> None:
        """Take over a name and variables that came later; each key that is there already is replaced."""
        self.name = name or self.name
        self.variables = self.variables | variables
        self.last_activity_at = max(self.last_activity_at, at)


class Held(NamedTuple):
    """Contacts that are locked until the transaction ends: their ids by external id, and which of them are new."""

    ids: dict[str, int]
    new: set[str]


def hold_contacts(
    cursor: CursorWrapper, environment: Organisation, profiles: dict[str, Profile], now: datetime
) -> Held:
    """Create or update these contacts, and lock them until the transaction ends.

    Raises ``TooManyVariables`` if some would have too many variables.
    """
    held: dict[str, int] = {}
    created: dict[str, int] = {}
    while missing := sorted(profiles.keys() - held.keys()):
        cursor.execute(_LOCK_CONTACTS, [environment.pk, missing])
        found = cursor.fetchall()
        held |= {external_id: pk for pk, external_id, *_ in found}
        _update_contacts(cursor, environment, found, profiles)
        new = [external_id for external_id in missing if external_id not in held]
        if new:
            fresh = [profiles[external_id] for external_id in new]
            names = [profile.name for profile in fresh]
            variables = [to_json(profile.variables) for profile in fresh]
            incoming = zip(new, fresh, variables, strict=True)
            if outgrown := [name for name, profile, json in incoming if outgrows({}, profile.variables, json)]:
                raise TooManyVariables({name: {} for name in outgrown})
            latest = [profile.last_activity_at for profile in fresh]
            cursor.execute(_INSERT_CONTACTS, [environment.pk, now, new, names, variables, latest])
            created |= {external_id: pk for pk, external_id in cursor.fetchall()}
            held |= created
    return Held(held, set(created))


_LOCK_CONTACTS = """
SELECT id, external_id, name, variables, last_activity_at FROM conversations_contact
WHERE environment_id = %s AND external_id = ANY(%s) ORDER BY external_id FOR NO KEY UPDATE
"""
_INSERT_CONTACTS = """
INSERT INTO conversations_contact (uuid, environment_id, external_id, name, variables, created_at, last_activity_at)
SELECT gen_random_uuid(), %s, u.external_id, u.name, u.variables::json, %s, u.latest
FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[]) AS u(external_id, name, variables, latest)
ON CONFLICT (environment_id, external_id) DO NOTHING RETURNING id, external_id
"""


def _update_contacts(
    cursor: CursorWrapper, environment: Organisation, found: list[tuple[Any, ...]], profiles: dict[str, Profile]
) -> None:
    """Merge the profiles into the contacts found, and write those that change. Raises ``TooManyVariables``."""
    changed = []
    outgrown: dict[str, dict[str, Any]] = {}
    for pk, external_id, name, variables, last_activity_at in found:
        incoming, merged = profiles[external_id], Profile(name, variables, last_activity_at)
        before = (name, to_json(variables), last_activity_at)
        merged.merge(incoming.name, incoming.variables, incoming.last_activity_at)
        after = (merged.name, to_json(merged.variables), merged.last_activity_at)
        if after != before:
            changed.append((pk, *after))
        if outgrows(variables, merged.variables, after[1]):
            outgrown[external_id] = variables
    if outgrown:
        raise TooManyVariables(outgrown)
    if changed:
        columns = [list(column) for column in zip(*changed, strict=True)]
        cursor.execute(_UPDATE_CONTACTS, [*columns, environment.pk])


def outgrows(before: dict[str, Any], after: dict[str, Any], json: str) -> bool:
    """Return whether variables, whose JSON is ``json``, have grown beyond a limit."""
    if is_plainly_within(len(after), json):
        return False
    return bool(VariablesSize.of(after).excess_over(VariablesSize.of(before)))


_UPDATE_CONTACTS = """
UPDATE conversations_contact c SET name = u.name, variables = u.variables::json, last_activity_at = u.latest
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[]) AS u(id, name, variables, latest)
WHERE c.id = u.id AND c.environment_id = %s
"""
