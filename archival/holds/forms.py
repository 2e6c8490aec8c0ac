"""The form that places a legal hold."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from conversations.models import Contact, Conversation
from environments.filters import DayInput, start_of
from environments.models import Organisation


class HoldForm(forms.Form):
    """Asks for a legal hold on the environment, or on one of its contacts or conversations, by external id."""

    covers = forms.ChoiceField(
        label=_("Scope"),
        choices=[
            ("environment", _("The whole environment")),
            ("contact", _("One contact and all their conversations")),
            ("conversation", _("One conversation")),
        ],
    )
    external_id = forms.CharField(label=_("Identifier of the contact or conversation"), max_length=255, required=False)
    reason = forms.CharField(label=_("Reason"), max_length=500)
    until = forms.DateField(label=_("Last day"), required=False, widget=DayInput)

    def __init__(self, *args: Any, environment: Organisation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.environment = environment

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        found: dict[str, Any] = {"contact": None, "conversation": None}
        models = {"contact": Contact, "conversation": Conversation}
        if (kind := values.get("covers")) in models:
            manager: Any = models[kind]._default_manager
            found[kind] = manager.filter(
                environment=self.environment, external_id=values.get("external_id", "")
            ).first()
            if found[kind] is None:
                self.add_error(
                    "external_id",
                    _("Nothing here has this identifier. Check it on the page of the contact or conversation."),
                )
        return values | found | {"until": self.end_of(values.get("until"))}

    def end_of(self, day: date | None) -> datetime | None:
        """Return the end of the day in the user's time zone, in UTC, or ``None`` without a day.

        For the last day of the calendar, which has no end, it adds an error to the field and returns ``None``.
        """
        if day is None:
            return None
        try:
            return start_of(day + timedelta(days=1)).astimezone(UTC)
        except OverflowError:
            self.add_error("until", _("Choose an earlier day, or leave it empty."))
            return None
