"""REST endpoints of organisations and their two advanced settings."""

from datetime import datetime
from typing import Any, cast

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView, ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.requests import LogInRequest
from accounts.requirement import would_comply
from accounts.stepup import has_passed_mfa, is_stepped_up
from archival.models import PolicyChange
from archival.policy.services import cancel_pending_change, change_retention
from environments.access import all_reachable, reach, reachable
from environments.caller import Caller
from environments.choices import Archival, MfaSetting, Permission
from environments.models import ApiKey, MfaChange, Organisation, OrganisationQuerySet
from environments.policies.effective import advanced_settings
from environments.policies.mfa import MfaRule
from environments.policies.mfa_schedule import cancel_scheduled_mfa, schedule_mfa
from environments.policies.resolve import lock_policies
from environments.policies.retention import Retention
from environments.policies.scheduled import pending_change
from environments.policies.services import set_require_mfa
from environments.requests import caller_of
from studio.serializers import (
    ARCHIVAL_VALUES,
    OrganisationFilterSerializer,
    OrganisationSerializer,
    SettingsPatchSerializer,
    SettingsSerializer,
)
from web.clock import database_now


def parents_of(organisations: list[Organisation], request: Request) -> dict[str, str]:
    """Return the short names of the parents by path, if the caller has access to them."""
    paths = {node.parent_path for node in organisations if node.depth > 1}
    return dict(reachable(caller_of(request)).filter(path__in=paths).values_list("path", "slug"))


@extend_schema(parameters=[OrganisationFilterSerializer])
class OrganisationList(ListAPIView[Organisation]):
    """Every organisation that the caller has access to, a parent before what is below it."""

    serializer_class = OrganisationSerializer

    def get_queryset(self) -> OrganisationQuerySet:
        asked = OrganisationFilterSerializer(data=self.request.query_params)
        asked.is_valid(raise_exception=True)
        organisations = all_reachable(caller_of(self.request))
        if kind := asked.validated_data.get("kind"):
            organisations = organisations.filter(kind=kind)
        if words := asked.validated_data.get("search"):
            organisations = organisations.filter(Q(name__icontains=words) | Q(slug__icontains=words))
        return organisations.order_by("path")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page: list[Organisation] = list(self.paginate_queryset(self.get_queryset()) or [])
        context = {**self.get_serializer_context(), "parents": parents_of(page, request)}
        return self.get_paginated_response(OrganisationSerializer(page, many=True, context=context).data)


class OrganisationDetail(RetrieveAPIView[Organisation]):
    """One organisation."""

    serializer_class = OrganisationSerializer

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        organisation = reach(caller_of(request), kwargs["slug"]).organisation
        context = {**self.get_serializer_context(), "parents": parents_of([organisation], request)}
        return Response(OrganisationSerializer(organisation, context=context).data)


class OrganisationSettings(GenericAPIView[Any]):
    """The two advanced settings of an organisation."""

    serializer_class = SettingsSerializer

    @extend_schema(responses=SettingsSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """Return the own values and locks, the effective values, and where they come from."""
        return self._answer(reach(caller_of(request), slug).organisation, request)

    @extend_schema(request=SettingsPatchSerializer, responses=SettingsSerializer)
    def patch(self, request: Request, slug: str) -> Response:
        """Change the given values, all of them or none.

        A limit permanently deletes older conversation data of the organisation and everything below it.
        """
        organisation = reach(caller_of(request), slug, requires=Permission.CHANGE_ADVANCED_SETTINGS).organisation
        if not isinstance(request.auth, ApiKey) and not is_stepped_up(cast(LogInRequest, request._request)):
            message = _("Confirm your identity first: this requires a factor passed in the last ten minutes.")
            raise PermissionDenied(message, code="step_up_required")
        asked = SettingsPatchSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        check_own_factor(request, asked.validated_data)
        change_settings(organisation, asked.validated_data, by=caller_of(request))
        return self._answer(organisation, request)

    @staticmethod
    def _answer(organisation: Organisation, request: Request) -> Response:
        settings = advanced_settings(organisation, viewer=caller_of(request))
        context = {
            "pending": pending_change(PolicyChange, organisation),
            "scheduled": pending_change(MfaChange, organisation),
        }
        return Response(SettingsSerializer(settings, context=context).data)


def check_own_factor(request: Request, asked: dict[str, Any]) -> None:
    """Raise ``PermissionDenied`` if a request switches MFA on and its person has passed no second factor.

    That is a session opened by mailed code, or a key whose owner has no factor. An organisation's own key is no person,
    and is allowed.
    """
    turns_on = asked.get("require_mfa") == MfaSetting.ON or asked.get("require_mfa_from") is not None
    if turns_on and not _has_own_factor(request):
        message = _("Pass a second factor yourself before you require it of others.")
        raise PermissionDenied(message, code="own_factor_required")


def _has_own_factor(request: Request) -> bool:
    if not isinstance(request.auth, ApiKey):
        return has_passed_mfa(cast(LogInRequest, request._request))
    return request.auth.owner is None or would_comply(request.auth.owner)


@transaction.atomic
def change_settings(organisation: Organisation, asked: dict[str, Any], *, by: Caller) -> None:
    """Apply a checked PATCH to the organisation, all or nothing.

    Values that it leaves out stay as they are now, also if another request has changed them meanwhile.
    """
    lock_policies()
    organisation.refresh_from_db()
    now = database_now()
    if asked.keys() & {"require_mfa", "require_mfa_locked", "require_mfa_from"}:
        change_mfa(organisation, asked, by=by, now=now)
    if asked.keys() & ARCHIVAL_VALUES:
        to = requested_retention(Retention.of(organisation), asked)
        change_retention(
            organisation,
            to=to,
            by=by,
            now=now,
            starts_at=asked.get("archival_from"),
            typed_name=asked.get("typed_name"),
        )
    elif "archival_from" in asked:
        cancel_pending_change(organisation, by=by, now=now)


def change_mfa(organisation: Organisation, asked: dict[str, Any], *, by: Caller, now: datetime) -> None:
    """Set Require MFA now, schedule it, or, for a date of null alone, cancel what is scheduled."""
    own, starts_at = MfaRule.of(organisation), asked.get("require_mfa_from")
    if starts_at is not None:
        schedule_mfa(organisation, to=requested_mfa(MfaRule.on(), own, asked), acts_at=starts_at, by=by, now=now)
    elif asked.keys() & {"require_mfa", "require_mfa_locked"}:
        to = MfaRule(asked.get("require_mfa", own.value))
        set_require_mfa(organisation, to=requested_mfa(to, own, asked), by=by, now=now)
    elif pending_change(MfaChange, organisation) is not None:
        cancel_scheduled_mfa(organisation, by=by, now=now)


def requested_mfa(to: MfaRule, own: MfaRule, asked: dict[str, Any]) -> MfaRule:
    """Return the value with the lock that a PATCH asks for, or with the own lock if it names none."""
    return MfaRule(to.value, asked["require_mfa_locked"]) if "require_mfa_locked" in asked else to.with_lock_of(own)


def requested_retention(own: Retention, asked: dict[str, Any]) -> Retention:
    """Return the value that a PATCH asks for: fields that it leaves out stay, and days alone mean a limit."""
    days = asked.get("archive_after_days")
    archival = asked.get("archival", own.archival if days is None else Archival.LIMIT)
    if "archive_after_days" not in asked and archival == Archival.LIMIT:
        days = own.days
    if "archival_locked" in asked:
        return Retention(archival, days, asked["archival_locked"])
    return Retention(archival, days).with_lock_of(own)
