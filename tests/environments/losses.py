"""Ways in which somebody loses what others rely on them for."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import User
from environments.caller import Caller
from environments.choices import Role
from environments.models import Membership
from environments.policies.mfa import MfaRule
from environments.policies.services import set_require_mfa
from tests.logging_in import logged_in_client


def lose(how: str, person: User, *, by: User | None) -> None:
    """Let a person lose their permissions in the one organisation that they are a member of, as it happens.

    "held" takes none away: a second factor is required of them there, which they lack.
    """
    membership = Membership.objects.get(user=person)
    page = f"/{membership.organisation.slug}/members/{membership.pk}/"
    if how == "removed":
        logged_in_client(by).post(f"{page}remove/")
    if how == "demoted":
        logged_in_client(by).post(page, {"roles": [Role.MEMBER]})
    if how == "expired":
        Membership.objects.filter(pk=membership.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    if how == "closed":
        User.objects.filter(pk=person.pk).update(is_active=False)
    if how == "gone":
        User.objects.filter(pk=person.pk).delete()
    if how == "held":
        set_require_mfa(membership.organisation, to=MfaRule.on(), by=Caller.of(by), now=timezone.now())
