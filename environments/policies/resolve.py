"""Resolve the effective values of the two settings down the tree, and whether a user must use MFA."""

from collections.abc import Iterable
from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Concat
from django.utils import timezone

from accounts.models import User
from environments.choices import Kind
from environments.models import Membership, Organisation, OrganisationQuerySet
from environments.policies import mfa, retention
from web.locks import lock_until_commit, share_until_commit

POLICY_LOCK = (
    0x53_54_55_44_49_4F  # one advisory lock for all writes to the tree and its settings; purge batches share it
)


def lock_policies() -> None:
    """Take the lock for changes to the tree and its settings, until commit; waits for purge batches too.

    Take it first in every transaction that writes the tree. Statements after it see what the transaction before wrote.
    """
    lock_until_commit(POLICY_LOCK)


def share_policies() -> None:
    """Take the same lock shared, until commit: many transactions at once, while nobody changes the tree or a hold."""
    share_until_commit(POLICY_LOCK)


# For each setting: nearest own value wins, and locks above bound it. The path's prefixes are the ancestors.
_STATEMENT = f"""
UPDATE environments_organisation o SET
  is_suspended = e.is_suspended, {mfa.WRITTEN}, {retention.WRITTEN}
FROM (
  SELECT id, is_suspended, {mfa.RESOLVED}, {retention.RESOLVED}
  FROM (
    SELECT n.id,
      bool_or(a.suspended_at IS NOT NULL) AS is_suspended, {mfa.FOUND}, {retention.FOUND}
    FROM environments_organisation n
    CROSS JOIN LATERAL generate_series(1, n.depth) k
    JOIN environments_organisation a ON a.path = left(n.path, %(step)s * k)
    WHERE [nodes]
    GROUP BY n.id) aggregated) e
WHERE o.id = e.id AND (o.is_suspended <> e.is_suspended OR {mfa.DIFFERS} OR {retention.DIFFERS})
"""  # noqa: S608  # put together from constants
_RESOLVE = _STATEMENT.replace("[nodes]", "n.path >= %(path)s AND n.path < %(path)s || '~'")
_RESOLVE_THESE = _STATEMENT.replace("[nodes]", "n.id = ANY(%(ids)s)")


def resolve(organisation: Organisation, *, now: datetime) -> int:
    """Store the effective values of the organisation and everything below it, in one statement.

    Returns how many nodes changed. Call it inside the transaction that changed an own value, a lock or the tree,
    after ``lock_policies()``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RESOLVE, {"now": now, "step": Organisation.steplen, "path": organisation.path})
        return cursor.rowcount


def resolve_these(organisations: Iterable[Organisation], *, now: datetime) -> None:
    """Do the same as ``resolve`` for organisations that are all new, with those below them, in one statement."""
    with connection.cursor() as cursor:
        ids = [each.pk for each in organisations]
        cursor.execute(_RESOLVE_THESE, {"now": now, "step": Organisation.steplen, "ids": ids})


def reached_by(user: User) -> Exists:
    """Return the condition that ``user`` has access to an organisation, by a live membership there or above it."""
    memberships = Membership.objects.live().alias(end=Concat("organisation__path", Value("~")))
    return Exists(memberships.filter(user=user, organisation__path__lte=OuterRef("path"), end__gt=OuterRef("path")))


def requiring_environments(user: User) -> OrganisationQuerySet:
    """Return the live environments of ``user`` that require multi-factor authentication."""
    requiring = Organisation.objects.filter(effective_require_mfa=True, kind=Kind.ENVIRONMENT, is_suspended=False)
    return requiring.filter(reached_by(user))


# Raw SQL, because the gate runs it in every request: compiling it from the ORM would cost more than running it.
_MFA_REQUIRED = """
SELECT EXISTS (
  SELECT FROM environments_membership m JOIN environments_organisation granted ON granted.id = m.organisation_id
  WHERE m.user_id = %(user)s AND m.accepted_at IS NOT NULL AND (m.expires_at IS NULL OR m.expires_at > %(now)s)
    AND EXISTS (
      SELECT FROM environments_organisation o
      WHERE o.effective_require_mfa AND o.kind = 'environment' AND NOT o.is_suspended
        AND o.path >= granted.path AND o.path < granted.path || '~'))
"""


def mfa_required(user: User) -> bool:
    """Return whether a log-in of ``user`` by password needs a second factor: one EXISTS, served by an index.

    True for super users, and for people with access, directly or by an organisation above, to a live environment whose
    effective setting requires it. Never cached: a change has effect at the next request.
    """
    if user.is_superuser:
        return True
    with connection.cursor() as cursor:
        cursor.execute(_MFA_REQUIRED, {"user": user.pk, "now": timezone.now()})
        return bool(cursor.fetchone()[0])
