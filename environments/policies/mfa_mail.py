"""Mail those who may change Require MFA that it changed, whichever way it did."""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import mail
from environments.access import who_may
from environments.models import Organisation
from environments.policies.mfa import CHANGED_BY


def mail_administrators(organisation: Organisation, notice: dict[str, Any]) -> int:
    """Mail everybody who may change the setting here; ``notice`` is of ``mfa_changes.tell_administrators``."""
    people = who_may(CHANGED_BY, organisation)
    facts = {**notice, "organisation": organisation}
    facts |= {name: datetime.fromisoformat(notice[name]) for name in ("at", "acts_at") if name in notice}
    with transaction.atomic():
        for user in people:
            mail.send(user, "mfa_setting", facts)
    return len(people)
