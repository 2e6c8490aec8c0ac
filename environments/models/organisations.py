"""The tree of organisations and its two settings."""

from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Left, Length, Substr
from django.db.models.lookups import In
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from treebeard.mp_tree import MP_Node, MP_NodeManager, MP_NodeQuerySet

from accounts.names import validate_name
from environments.choices import LONGEST_LIMIT_DAYS, ROOT_KINDS, Archival, Kind, MfaSetting, Role
from environments.slugs import RESERVED_SLUGS
from web.among import AnyAmong
from web.clock import cutoff, in_calendar


class OrganisationQuerySet(MP_NodeQuerySet):  # type: ignore[misc]  # treebeard has no types
    def environments(self) -> Self:
        return self.filter(kind=Kind.ENVIRONMENT)

    def live(self) -> Self:
        """Leave out organisations that are suspended, themselves or by one above them."""
        return self.filter(is_suspended=False)

    def below(self, organisation: "Organisation") -> Self:
        """Narrow to the organisation itself and everything below it; a range on the path, so the index serves it."""
        return self.filter(path__gte=organisation.path, path__lt=organisation.path + "~")

    def above(self, organisation: "Organisation") -> Self:
        """Narrow to the organisation itself and everything above it, the root first."""
        return self.filter(path__in=organisation.lineage).order_by("depth")

    def between(self, organisation: "Organisation", environments: Self) -> Self:
        """Narrow to what is below the organisation and above one of the ``environments``, of which there are thousands.

        The organisation itself can be among them.
        """
        levels = Kind.ENVIRONMENT.rank - Kind(organisation.kind).rank  # at most: a child has a lower rank
        lengths = (self.model.steplen * (organisation.depth + level) for level in range(max(levels, 1)))
        beginnings = (environments.order_by().values_list(Left("path", length)) for length in lengths)
        above = self.below(organisation).exclude(kind=Kind.ENVIRONMENT)
        return above.filter(reduce(or_, (Q(In(F("path"), each)) for each in beginnings)))

    def with_those_above(self, organisations: Self) -> Self:
        """Narrow to these organisations and everything above them, in the order of the tree."""
        lengths = Func(Value(MP_Node.steplen), Length("path"), Value(MP_Node.steplen), function="generate_series")
        beginnings = Substr("path", 1, lengths, output_field=models.TextField())
        these = type(self)(self.model).filter(pk__in=organisations.values("pk")).order_by()
        return self.filter(path__in=these.values_list(beginnings)).order_by("path")


def is_at_or_below(paths: models.QuerySet[Any]) -> Q:
    """Return the condition that an organisation has one of these paths, or one that begins with it."""
    lefts = (Left("path", MP_Node.steplen * depth) for depth in range(1, len(Kind) + 1))
    return Q(AnyAmong(*lefts, rows=paths))


class OrganisationManager(MP_NodeManager.from_queryset(OrganisationQuerySet)):  # type: ignore[misc]  # treebeard has no types
    def get_queryset(self) -> OrganisationQuerySet:
        return OrganisationQuerySet(self.model, using=self._db).order_by(
            "path"
        )  # in the order of treebeard's own manager, with our queryset


class Organisation(MP_Node):  # type: ignore[misc]  # treebeard has no types
    """A node of the tree: a market, a distributor, an agency, a customer, or an environment (the tenant).

    Own values are set here; effective values are resolved for a whole subtree in one statement
    (``environments.policies.resolve.resolve``), and nothing else writes them.
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
    auto_invite_by = models.ForeignKey(  # who set them, and is responsible for them; None: not known
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )

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
    # When the effective days last became fewer, and what they were before (None: no limit, or not known). Data that was
    # too old by the earlier limit is late, however recent the later limit is.
    archival_tightened_at = models.DateTimeField(null=True, editable=False)
    archival_days_before = models.PositiveSmallIntegerField(null=True, editable=False)

    objects = OrganisationManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=in_calendar("created_at", "suspended_at", "archival_since"),
                name="organisation_is_in_the_calendar",
            ),
            models.CheckConstraint(
                condition=in_calendar("archival_tightened_at"), name="tightening_is_in_the_calendar"
            ),
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
            # Serve what is below an organisation without reading the rows, which are ten times as long.
            models.Index("path", name="organisations_below", include=["id", "is_suspended"]),
            models.Index(
                "path",
                name="environments_below",
                include=[
                    *("id", "is_suspended", "effective_require_mfa", "require_mfa_source"),
                    "effective_archive_after_days",
                ],
                condition=Q(kind=Kind.ENVIRONMENT),
            ),
            models.Index(
                "path",
                name="organisations_of_environments",
                include=["id", "name", "slug"],
                condition=~Q(kind=Kind.ENVIRONMENT),
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

    @property
    def lineage(self) -> list[str]:
        """The paths of the organisation and of everything above it, the root first."""
        return [self.path[:end] for end in range(self.steplen, len(self.path) + 1, self.steplen)]

    def cutoff(self, now: datetime) -> datetime | None:
        """Return the instant before which data of this environment is too old at ``now``; None: everything is kept."""
        days = self.effective_archive_after_days
        return None if days is None else cutoff(now, days)

    def check_parent(self, parent: "Organisation | None") -> None:
        """Raise ``ValidationError`` unless this kind of organisation can stand below ``parent`` (None: at the root)."""
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
