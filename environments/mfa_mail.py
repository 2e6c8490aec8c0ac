"""Mail those who may change Require MFA that it changed, whichever way it did."""

from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import mail
from accounts.models import User
from environments.choices import Permission, Role
from environments.models import Membership, Organisation


def mail_administrators(organisation: Organisation, notice: dict[str, Any]) -> int:
    """Mail everybody who may change the setting here; ``notice`` is of ``mfa_changes.tell_administrators``."""
    allowed = [role for role in Role if Permission.CHANGE_ADVANCED_SETTINGS in role.permissions]
    above = Organisation.objects.above(organisation).order_by()
    granted = Membership.objects.live().filter(organisation__in=above.values("pk"), roles__overlap=allowed)
    people = User.objects.filter(pk__in=granted.values("user"), is_active=True).order_by("pk")
    facts = {**notice, "organisation": organisation}
    facts |= {name: datetime.fromisoformat(notice[name]) for name in ("at", "acts_at") if name in notice}
    with transaction.atomic():
        for user in people:
            mail.send(user, "mfa_setting", facts)
    return len(people)
