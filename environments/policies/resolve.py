"""What holds where: the two settings resolved down the tree, and the one question of the gate."""

from datetime import datetime

from django.db import connection
from django.db.models import Exists, OuterRef, Value
from django.db.models.functions import Concat
from django.utils import timezone

from accounts.models import User
from environments.choices import Kind
from environments.models import Membership, Organisation, OrganisationQuerySet
from web.locks import lock_until_commit

POLICY_LOCK = (
    0x53_54_55_44_49_4F  # one advisory lock for all writes to the tree and its settings; purge batches share it
)


def lock_policies() -> None:
    """Wait until no one else changes the tree or a setting and no purge batch runs; held until commit.

    Take it first in every transaction that writes the tree. A statement after it sees what its predecessor wrote.
    """
    lock_until_commit(POLICY_LOCK)


# Nearest own value wins; each locked ancestor bounds what is below it. The path's prefixes are the ancestors.
_RESOLVE = """
UPDATE environments_organisation o SET
  is_suspended = e.is_suspended,
  effective_require_mfa = e.mfa,
  require_mfa_source_id = e.mfa_source,
  effective_archive_after_days = e.days,
  archival_source_id = e.days_source,
  archival_since = CASE WHEN o.effective_archive_after_days IS DISTINCT FROM e.days
                        THEN %(now)s ELSE o.archival_since END,
  archival_tightened_at = CASE WHEN e.days < COALESCE(o.effective_archive_after_days, 32767) THEN %(now)s
                               ELSE COALESCE(o.archival_tightened_at, o.archival_since) END,
  archival_days_before = CASE
    WHEN e.days < COALESCE(o.effective_archive_after_days, 32767) IS NOT TRUE THEN o.archival_days_before
    -- Twice within the hour that the purge has: the looser of both, so that nothing is late too soon.
    WHEN COALESCE(o.archival_tightened_at, o.archival_since) <= %(now)s - interval '1 hour'
    THEN o.effective_archive_after_days
    WHEN o.archival_days_before IS NOT NULL AND o.effective_archive_after_days IS NOT NULL
    THEN GREATEST(o.archival_days_before, o.effective_archive_after_days) END
FROM (
  SELECT id, is_suspended,
    COALESCE(near_mfa = 'on', false) OR mfa_lock IS NOT NULL AS mfa,
    CASE WHEN near_mfa IS DISTINCT FROM 'on' AND mfa_lock IS NOT NULL THEN mfa_lock ELSE near_mfa_id END AS mfa_source,
    LEAST(near_days, lock_days) AS days,
    CASE WHEN lock_days IS NOT NULL AND (near_days IS NULL OR lock_days < near_days)
         THEN days_lock ELSE near_archival_id END AS days_source
  FROM (
    SELECT n.id,
      bool_or(a.suspended_at IS NOT NULL) AS is_suspended,
      (array_agg(a.require_mfa ORDER BY a.depth DESC) FILTER (WHERE a.require_mfa <> 'inherit'))[1] AS near_mfa,
      (array_agg(a.id ORDER BY a.depth DESC) FILTER (WHERE a.require_mfa <> 'inherit'))[1] AS near_mfa_id,
      (array_agg(a.id ORDER BY a.depth) FILTER (WHERE a.require_mfa_locked))[1] AS mfa_lock,
      (array_agg(a.archive_after_days ORDER BY a.depth DESC) FILTER (WHERE a.archival <> 'inherit'))[1] AS near_days,
      (array_agg(a.id ORDER BY a.depth DESC) FILTER (WHERE a.archival <> 'inherit'))[1] AS near_archival_id,
      min(a.archive_after_days) FILTER (WHERE a.archival_locked) AS lock_days,
      (array_agg(a.id ORDER BY a.archive_after_days, a.depth) FILTER (WHERE a.archival_locked))[1] AS days_lock
    FROM environments_organisation n
    CROSS JOIN LATERAL generate_series(1, n.depth) k
    JOIN environments_organisation a ON a.path = left(n.path, %(step)s * k)
    WHERE n.path >= %(path)s AND n.path < %(path)s || '~'
    GROUP BY n.id) found) e
WHERE o.id = e.id
  AND (o.is_suspended, o.effective_require_mfa, o.require_mfa_source_id,
       o.effective_archive_after_days, o.archival_source_id)
      IS DISTINCT FROM (e.is_suspended, e.mfa, e.mfa_source, e.days, e.days_source)
"""


def resolve(organisation: Organisation, *, now: datetime) -> int:
    """Store the effective values of the organisation and everything below it, in one statement.

    Returns how many nodes changed. Call it inside the transaction that changed an own value, a lock or the tree,
    after ``lock_policies()``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RESOLVE, {"now": now, "step": Organisation.steplen, "path": organisation.path})
        return cursor.rowcount


def reached_by(user: User) -> Exists:
    """Return the condition that ``user`` reaches an organisation, by a live membership there or above it."""
    memberships = Membership.objects.live().alias(end=Concat("organisation__path", Value("~")))
    return Exists(memberships.filter(user=user, organisation__path__lte=OuterRef("path"), end__gt=OuterRef("path")))


def requiring_environments(user: User) -> OrganisationQuerySet:
    """Return the live environments that ``user`` reaches and that require multi-factor authentication."""
    requiring = Organisation.objects.filter(effective_require_mfa=True, kind=Kind.ENVIRONMENT, is_suspended=False)
    return requiring.filter(reached_by(user))


# Written out, because the gate asks it in every request: to compile it anew would cost more than to answer it.
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
    """Tell whether a log-in of ``user`` by password needs a second factor: one EXISTS, served by an index.

    True for super users, and for whoever reaches, directly or through an organisation above, a live environment
    whose effective setting requires it. Never cached: a change bites at the next request.
    """
    if user.is_superuser:
        return True
    with connection.cursor() as cursor:
        cursor.execute(_MFA_REQUIRED, {"user": user.pk, "now": timezone.now()})
        return bool(cursor.fetchone()[0])
