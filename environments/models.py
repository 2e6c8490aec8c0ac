"""The tree of organisations, its two settings, and who may do what where."""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from treebeard.mp_tree import MP_Node, MP_NodeManager, MP_NodeQuerySet

from accounts.models import User
from accounts.names import validate_name
from environments.choices import (
    DOMAIN_GRACE,
    LONGEST_LIMIT_DAYS,
    ROOT_KINDS,
    Archival,
    DnsAnswer,
    DomainProof,
    Kind,
    MfaSetting,
    Reminder,
    Role,
    ScheduleState,
)
from environments.dns_proof import record_name, to_unicode
from environments.slugs import RESERVED_SLUGS


class OrganisationQuerySet(MP_NodeQuerySet):  # type: ignore[misc]
    def environments(self) -> Self:
        return self.filter(kind=Kind.ENVIRONMENT)

    def live(self) -> Self:
        """Leave out what is suspended, itself or by an organisation above it."""
        return self.filter(is_suspended=False)

    def below(self, organisation: "Organisation") -> Self:
        """Narrow to the organisation itself and everything below it; a range on the path, so the index serves it."""
        return self.filter(path__gte=organisation.path, path__lt=organisation.path + "~")

    def above(self, organisation: "Organisation") -> Self:
        """Narrow to the organisation itself and everything above it, the root first."""
        step = Organisation.steplen
        paths = [organisation.path[:end] for end in range(step, len(organisation.path) + 1, step)]
        return self.filter(path__in=paths).order_by("depth")


class OrganisationManager(MP_NodeManager.from_queryset(OrganisationQuerySet)):  # type: ignore[misc]
    def get_queryset(self) -> OrganisationQuerySet:
        return OrganisationQuerySet(self.model, using=self._db).order_by("path")  # the library's order, our questions


class Organisation(MP_Node):  # type: ignore[misc]
    """A node of the tree: a market, a distributor, an agency, a customer, or an environment (the tenant).

    Own values are what somebody set here; effective values are what holds, resolved for a whole subtree in one
    statement (``environments.policies.resolve``) and never written by hand.
    """

    path = models.CharField(max_length=255, unique=True, db_collation="C")
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    name = models.CharField(_("display name"), max_length=255)
    slug = models.SlugField(
        _("short name"),
        max_length=63,
        unique=True,
        validators=[RegexValidator(r"\A[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z", _("Use a-z, 0-9 and single hyphens."))],
        error_messages={"unique": _("This short name is taken.")},
    )
    created_at = models.DateTimeField(default=timezone.now)
    suspended_at = models.DateTimeField(null=True, blank=True)
    auto_invite_roles = ArrayField(models.CharField(max_length=24, choices=Role), default=list, blank=True)

    require_mfa = models.CharField(max_length=7, choices=MfaSetting, default=MfaSetting.INHERIT)
    require_mfa_locked = models.BooleanField(default=False)
    archival = models.CharField(max_length=7, choices=Archival, default=Archival.INHERIT)
    archive_after_days = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(LONGEST_LIMIT_DAYS)]
    )
    archival_locked = models.BooleanField(default=False)

    is_suspended = models.BooleanField(default=False, editable=False)
    effective_require_mfa = models.BooleanField(default=False, editable=False)
    require_mfa_source = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="+", db_index=False
    )
    effective_archive_after_days = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    archival_source = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="+", db_index=False
    )
    archival_since = models.DateTimeField(default=timezone.now, editable=False)  # when the effective days last changed

    objects = OrganisationManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(archive_after_days__isnull=True) | Q(archive_after_days__range=(1, LONGEST_LIMIT_DAYS)),
                name="archive_after_1_to_3650_days",
            ),
            models.CheckConstraint(
                condition=Q(archival=Archival.LIMIT, archive_after_days__isnull=False)
                | Q(~Q(archival=Archival.LIMIT), archive_after_days__isnull=True),
                name="days_go_with_a_limit",
            ),
            models.CheckConstraint(
                condition=Q(effective_archive_after_days__isnull=True)
                | Q(effective_archive_after_days__range=(1, LONGEST_LIMIT_DAYS)),
                name="effective_days_1_to_3650",
            ),
            models.CheckConstraint(
                condition=Q(require_mfa_locked=False) | Q(require_mfa=MfaSetting.ON), name="only_on_can_be_locked"
            ),
            models.CheckConstraint(
                condition=Q(archival_locked=False) | Q(archival=Archival.LIMIT), name="only_a_limit_can_be_locked"
            ),
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="kind_is_known"),
            models.CheckConstraint(condition=Q(require_mfa__in=MfaSetting.values), name="require_mfa_is_known"),
            models.CheckConstraint(condition=Q(archival__in=Archival.values), name="archival_is_known"),
        ]
        indexes = [
            # Serves the gate's one query as an index-only scan on a range of paths.
            models.Index(
                "path",
                name="environments_requiring_mfa",
                condition=Q(effective_require_mfa=True, kind=Kind.ENVIRONMENT, is_suspended=False),
            ),
            # Serves the purge: which environments have a limit.
            models.Index(
                "id",
                name="environments_with_a_limit",
                condition=Q(effective_archive_after_days__isnull=False, kind=Kind.ENVIRONMENT),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if self.slug in RESERVED_SLUGS:
            raise ValidationError({"slug": _("This short name is reserved.")})
        try:
            validate_name(self.name)
        except ValidationError as error:
            raise ValidationError({"name": error}) from error

    @property
    def is_environment(self) -> bool:
        return self.kind == Kind.ENVIRONMENT

    @property
    def parent_path(self) -> str:
        return self.path[: -self.steplen]

    def cutoff(self, now: datetime) -> datetime | None:
        """Return the instant before which this environment's data is too old at ``now``; None: keep everything.

        The one place that turns days into an instant: a day is 24 hours, in every time zone.
        """
        days = self.effective_archive_after_days
        return None if days is None else now - timedelta(hours=24 * days)

    def check_parent(self, parent: "Organisation | None") -> None:
        """Raise ``ValidationError`` unless this node may stand below ``parent`` (None: at the root)."""
        if parent is None:
            if self.kind not in ROOT_KINDS:
                raise ValidationError(
                    _("An organisation of the kind %(kind)s needs a parent.") % {"kind": Kind(self.kind).label}
                )
        elif Kind(parent.kind).rank >= Kind(self.kind).rank:
            raise ValidationError(
                _("An organisation of the kind %(kind)s cannot stand below one of the kind %(parent)s.")
                % {"kind": Kind(self.kind).label, "parent": Kind(parent.kind).label}
            )


class MembershipQuerySet(models.QuerySet["Membership"]):
    def live(self, now: datetime | None = None) -> Self:
        """Leave out what was not accepted yet and what has expired."""
        now = now or timezone.now()
        return self.filter(accepted_at__isnull=False).filter(Q(expires_at=None) | Q(expires_at__gt=now))


class Membership(models.Model):
    """Roles of a user on one organisation, valid there and everywhere below it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="memberships")
    roles = ArrayField(models.CharField(max_length=24, choices=Role))
    created_at = models.DateTimeField(default=timezone.now)
    accepted_at = models.DateTimeField(null=True)  # counts only from then on
    expires_at = models.DateTimeField(null=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint("user", "organisation", name="one_membership_per_organisation"),
            models.CheckConstraint(condition=~Q(roles=[]), name="membership_has_a_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organisation}"

    def is_live(self, now: datetime) -> bool:
        """Tell of this row what ``MembershipQuerySet.live`` asks of many."""
        return self.accepted_at is not None and (self.expires_at is None or self.expires_at > now)


class Invitation(models.Model):
    """A mailed link to join an organisation. Only the token's hash is kept; the mailbox is the proof."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    roles = ArrayField(models.CharField(max_length=24, choices=Role))
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    by_domain = models.ForeignKey("OrganisationDomain", models.CASCADE, null=True, related_name="+")  # asked for it
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"), "organisation", condition=Q(used_at=None), name="one_open_invitation_per_address"
            )
        ]

    def __str__(self) -> str:
        return self.email

    @staticmethod
    def hash_of(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()


class AccessRequest(models.Model):
    """Somebody who may not enter asked to; an environment manager accepts or rejects."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        ACCEPTED = "accepted", _("accepted")
        REJECTED = "rejected", _("rejected")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="access_requests")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="access_requests")
    message = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    created_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "organisation", "user", condition=Q(state="waiting"), name="one_waiting_request_per_person"
            )
        ]


class OrganisationDomain(models.Model):
    """An e-mail domain whose people may sign themselves up, once it is proven by DNS or by a super user."""

    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="domains")
    domain = models.CharField(max_length=253)
    token = models.CharField(max_length=64)  # what the DNS TXT record must hold
    created_at = models.DateTimeField(default=timezone.now)
    verified_at = models.DateTimeField(null=True)
    proof = models.CharField(max_length=10, choices=DomainProof, blank=True)
    checked_at = models.DateTimeField(null=True)  # when the DNS was asked last, and what came of it
    answer = models.CharField(max_length=13, choices=DnsAnswer, blank=True)
    failed_checks = models.PositiveSmallIntegerField(default=0)  # in a row, while it is not proven
    next_check_at = models.DateTimeField(null=True, default=timezone.now, db_index=True)  # None: only when asked
    missing_since = models.DateTimeField(null=True)  # a proven domain whose record went

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("domain"), "organisation", name="domain_once_per_organisation"),
            models.UniqueConstraint(
                Lower("domain"), condition=Q(verified_at__isnull=False), name="domain_is_proven_once"
            ),
        ]

    def __str__(self) -> str:
        return self.domain

    @property
    def readable(self) -> str:
        """The name as people read it: ``bücher.example`` for ``xn--bcher-kva.example``."""
        return to_unicode(self.domain)

    @property
    def record_name(self) -> str:
        return record_name(self.domain)

    @property
    def lapses_at(self) -> datetime | None:
        """When the proof ends unless the record comes back, or None."""
        return self.missing_since + DOMAIN_GRACE if self.missing_since else None


class MfaChange(models.Model):
    """Require MFA: On, from a date: schedule and history in the same row. Until ``acts_at`` nothing has changed."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="mfa_changes")
    locked = models.BooleanField(default=False)  # whether On is then locked for everything below
    before = models.JSONField()  # require_mfa, locked, effective
    requested_at = models.DateTimeField(default=timezone.now)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_label = models.CharField(max_length=320)
    acts_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ScheduleState, default=ScheduleState.PENDING)
    ended_at = models.DateTimeField(null=True)
    ended_label = models.CharField(max_length=320, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(state__in=ScheduleState.values), name="mfa_change_state_is_known"),
            models.CheckConstraint(
                condition=Q(state=ScheduleState.PENDING, ended_at=None)
                | Q(~Q(state=ScheduleState.PENDING), ended_at__isnull=False),
                name="mfa_change_is_pending_or_ended",
            ),
            models.UniqueConstraint(
                fields=["organisation"],
                condition=Q(state=ScheduleState.PENDING),
                name="one_pending_mfa_change_per_organisation",
            ),
        ]
        indexes = [models.Index("acts_at", name="mfa_change_due", condition=Q(state=ScheduleState.PENDING))]

    def __str__(self) -> str:
        return f"{self.organisation_id}: {self.acts_at:%Y-%m-%d %H:%M}"


class MfaReminder(models.Model):
    """A member was told of a scheduled requirement. The row is what makes each mail leave once."""

    change = models.ForeignKey(MfaChange, models.CASCADE, related_name="reminders", db_index=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    which = models.CharField(max_length=5, choices=Reminder)
    sent_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint("change", "user", "which", name="one_mail_per_reminder_and_member")]


class ApiKey(models.Model):
    """A key for REST clients: a person's (may what he may) or an organisation's own. Only its hash is kept."""

    actor_kind: ClassVar[str] = "key"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=255)
    organisation = models.ForeignKey(Organisation, models.CASCADE, null=True, related_name="api_keys")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="api_keys")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    prefix = models.CharField(max_length=12, unique=True)  # shown in lists, and how a key is found
    hash = models.CharField(max_length=64)  # SHA-256 of the whole key: 256 random bits need no stretching
    roles = ArrayField(models.CharField(max_length=24, choices=Role), default=list)  # of an organisation's own key
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(owner__isnull=False) | Q(organisation__isnull=False), name="api_key_belongs_to_somebody"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def principal(self) -> "User | KeyHolder":
        """Return whom the door sees: the owner, who then carries this key as ``api_key``, or the key itself."""
        if self.owner is None:
            return KeyHolder(self)
        self.owner.api_key = self  # type: ignore[attr-defined]  # how the door knows
        return self.owner


@dataclass(frozen=True)
class KeyHolder:
    """Stands where a user would when an organisation's own key calls: no person, no session, no super user."""

    api_key: ApiKey
    actor_kind: ClassVar[str] = "key"
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_superuser: ClassVar[bool] = False

    @property
    def pk(self) -> int:
        return self.api_key.pk

    def __str__(self) -> str:
        return str(self.api_key)
