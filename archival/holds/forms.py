"""The form that places a legal hold."""

from typing import Any

from django import forms
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from conversations.models import Contact, Conversation
from environments.filters import LastDayField
from environments.models import Organisation


class HoldForm(forms.Form):
    """Asks for a legal hold on the environment, or on one of its contacts or conversations, by external id."""

    covers = forms.ChoiceField(
        label=_("Scope"),
        choices=[
            ("conversation", _("One conversation")),
            ("contact", _("One contact and all their conversations")),
            ("environment", _("The whole environment")),
        ],
        widget=forms.RadioSelect,  # with none chosen at first: what is held is never a default
    )
    external_id = forms.CharField(label=_("Identifier of the contact or conversation"), max_length=255, required=False)
    reason = forms.CharField(label=_("Reason"), max_length=500)
    until = LastDayField(label=_("Last day"), required=False)

    def __init__(self, *args: Any, environment: Organisation, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.environment = environment

    def clean(self) -> dict[str, Any]:
        """Add ``contact`` and ``conversation``, one of which is what the identifier names.

        An identifier beside the whole environment is an error, since it would be dropped and everything held.
        """
        values: dict[str, Any] = super().clean() or {}
        values |= {"contact": None, "conversation": None}
        models = {"contact": Contact, "conversation": Conversation}
        kind, typed = values.get("covers"), values.get("external_id", "")
        if kind in models and "external_id" not in self.errors:
            manager: Any = models[kind]._default_manager
            values[kind] = manager.filter(environment=self.environment, external_id=typed).first() if typed else None
            if not typed:
                self.add_error("external_id", _("Give the identifier of what the hold covers."))
            elif values[kind] is None:
                self.add_error(
                    "external_id",
                    _("Nothing here has this identifier. Check it on the page of the contact or conversation."),
                )
        elif kind == "environment" and typed:
            message = _(
                "“%(typed)s” names one contact or conversation, but “The whole environment” is chosen. Choose which of"
                " them it is, or empty this field."
            )
            self.add_error("external_id", message % {"typed": Truncator(typed).chars(60)})
        return values
