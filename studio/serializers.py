"""Serializers of the REST endpoints for organisations and their settings."""

from datetime import UTC, datetime
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from archival.models import PolicyChange
from environments.choices import LONGEST_LIMIT_DAYS, Archival, Kind, MfaSetting
from environments.models import MfaChange, Organisation
from environments.policies.effective import AdvancedSettings, Origin
from web.typed import instant


class OrganisationSerializer(serializers.ModelSerializer[Organisation]):
    """A node of the tree. ``parent`` is null if the caller has no access to the organisation above."""

    parent = serializers.SerializerMethodField(  # type: ignore[assignment]  # a field of that name, not its parent
        help_text="Short name of the organisation above, if the caller has access to it."
    )
    require_mfa = serializers.BooleanField(source="effective_require_mfa", help_text="The effective value.")
    archive_after_days = serializers.IntegerField(
        source="effective_archive_after_days",
        allow_null=True,
        help_text="Days after which conversation data is permanently deleted here; null: everything is kept.",
    )

    class Meta:
        model = Organisation
        fields = ("slug", "name", "kind", "parent", "created_at", "require_mfa", "archive_after_days")

    def get_parent(self, organisation: Organisation) -> str | None:
        return self.context["parents"].get(organisation.parent_path)


class OrganisationFilterSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    search = serializers.CharField(max_length=200, required=False, allow_blank=True)


class OriginSerializer(serializers.Serializer[Origin]):
    """An organisation that a value comes from. Both are null if the caller cannot see that organisation."""

    slug = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)


class EffectiveSerializer(serializers.Serializer[AdvancedSettings]):
    """The effective values, by inheritance and locks. A source of null is the default."""

    require_mfa = serializers.BooleanField(source="require_mfa.effective.value.is_on")
    require_mfa_source = OriginSerializer(source="require_mfa.effective.source", allow_null=True)
    archive_after_days = serializers.IntegerField(source="archival.effective.value.days", allow_null=True)
    archive_after_days_source = OriginSerializer(source="archival.effective.source", allow_null=True)


class BoundsSerializer(serializers.Serializer[AdvancedSettings]):
    """The bounds that locks above set; null: nothing is locked above."""

    require_mfa_locked_by = OriginSerializer(source="require_mfa.effective.lock", allow_null=True)
    archive_after_days_at_most = serializers.IntegerField(source="archival.effective.at_most.days", allow_null=True)
    archival_locked_by = OriginSerializer(source="archival.effective.lock", allow_null=True)


class PendingSerializer(serializers.Serializer[PolicyChange]):
    """A pending change of the archival setting."""

    archival = serializers.ChoiceField(choices=Archival.choices)
    archive_after_days = serializers.IntegerField(source="days", allow_null=True)
    acts_at = serializers.DateTimeField()
    would_delete = serializers.DictField(
        source="preview",
        child=serializers.IntegerField(),
        help_text="Rows by kind, and bytes, counted when the change was requested.",
    )
    waits_for_mail = serializers.BooleanField(
        help_text="The mail that announces the change has not been sent yet to everybody who can cancel it. The change "
        "waits for that, also after `acts_at`, or until their mail server refuses the mail for good.",
    )


class PendingMfaSerializer(serializers.Serializer[MfaChange]):
    """A scheduled requirement of MFA."""

    require_mfa = serializers.ReadOnlyField(default=MfaSetting.ON.value)
    require_mfa_locked = serializers.BooleanField(source="locked")
    require_mfa_from = serializers.DateTimeField(source="acts_at", default_timezone=UTC)


class SettingsSerializer(serializers.Serializer[AdvancedSettings]):
    """The own values of both settings, by the names that PATCH takes, and the effective values."""

    require_mfa = serializers.ChoiceField(choices=MfaSetting.choices, source="require_mfa.own.value")
    require_mfa_locked = serializers.BooleanField(source="require_mfa.own.locked")
    archival = serializers.ChoiceField(choices=Archival.choices, source="archival.own.archival")
    archive_after_days = serializers.IntegerField(source="archival.own.days", allow_null=True)
    archival_locked = serializers.BooleanField(source="archival.own.locked")
    effective = EffectiveSerializer(source="*")
    bounds = BoundsSerializer(source="*")
    pending = serializers.SerializerMethodField(help_text="The pending change of archival, or null.")
    require_mfa_pending = serializers.SerializerMethodField(help_text="The scheduled requirement of MFA, or null.")

    @extend_schema_field(PendingSerializer(allow_null=True))
    def get_pending(self, settings: AdvancedSettings) -> dict[str, Any] | None:
        change = self.context["pending"]
        return dict(PendingSerializer(change).data) if change else None

    @extend_schema_field(PendingMfaSerializer(allow_null=True))
    def get_require_mfa_pending(self, settings: AdvancedSettings) -> dict[str, Any] | None:
        change = self.context["scheduled"]
        return dict(PendingMfaSerializer(change).data) if change else None


class InstantField(serializers.DateTimeField):
    """An instant in ISO 8601 with an offset; without one, it would not be one instant."""

    def to_internal_value(self, value: Any) -> datetime:
        try:
            return instant(value)
        except ValueError:
            message = _("Give ISO 8601 with an offset, such as 2027-01-01T09:00+01:00.")
            raise serializers.ValidationError(message, code="invalid") from None


class StrictBooleanField(serializers.BooleanField):
    """A JSON true or false; refuses strings and numbers that look like one."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class StrictIntegerField(serializers.IntegerField):
    """A whole JSON number; refuses strings and booleans that look like one."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


ARCHIVAL_VALUES = frozenset({"archival", "archive_after_days", "archival_locked"})


class SettingsPatchSerializer(serializers.Serializer[Any]):
    """Any of the own values and locks. Days without ``archival`` mean a limit; unknown fields are refused."""

    require_mfa = serializers.ChoiceField(choices=MfaSetting.choices, required=False)
    require_mfa_locked = StrictBooleanField(required=False)
    require_mfa_from = InstantField(
        required=False,
        allow_null=True,
        help_text="When On takes effect; it means on also alone. Null: at once; null alone cancels what is scheduled.",
    )
    archival = serializers.ChoiceField(choices=Archival.choices, required=False)
    archive_after_days = StrictIntegerField(min_value=1, max_value=LONGEST_LIMIT_DAYS, required=False, allow_null=True)
    archival_locked = StrictBooleanField(required=False)
    archival_from = InstantField(
        required=False,
        allow_null=True,
        help_text="When the archival values beside it take effect. Null: at once; null alone cancels what is pending.",
    )

    typed_name = serializers.CharField(
        required=False,
        max_length=255,
        help_text="The display name of the organisation: it confirms a change that deletes data at once, where "
        "`COOLING_OFF_HOURS` is 0.",
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({str(name): [_("There is no such setting.")] for name in unknown})
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.keys() - {"typed_name"}:
            raise serializers.ValidationError(_("Nothing to set."))
        if attrs.get("require_mfa_from") and attrs.get("require_mfa", MfaSetting.ON) != MfaSetting.ON:
            raise serializers.ValidationError({"require_mfa_from": [_("A date goes with on only.")]})
        if attrs.get("archival_from") and not attrs.keys() & ARCHIVAL_VALUES:
            raise serializers.ValidationError({"archival_from": [_("Give the archival values that take effect then.")]})
        return attrs
