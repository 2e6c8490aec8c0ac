"""Mail people who can change Require MFA about its changes."""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import mail
from environments.access import who_can
from environments.models import Organisation
from environments.policies.mfa import CHANGED_BY


def mail_administrators(organisation: Organisation, notice: dict[str, Any]) -> int:
    """Mail people who can change the setting here; returns how many. ``notice`` comes from ``mail_mfa_news``."""
    people = who_can(CHANGED_BY, organisation)
    facts = {**notice, "organisation": organisation}
    facts |= {name: datetime.fromisoformat(notice[name]) for name in ("at", "acts_at") if name in notice}
    with transaction.atomic():
        for user in people:
            mail.send(user, "mfa_setting", facts)
    return len(people)
