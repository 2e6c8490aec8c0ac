"""Every mail to those who administer something says in its first sentence what happened and when."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from archival.engine.run import purge
from archival.evidence import alarms
from archival.policy import services
from archival.requests import deletion
from environments.caller import SYSTEM, Caller
from environments.choices import DomainNews, Kind, Role
from environments.domains import services as domains
from environments.joining import services as joining
from environments.mail import mail_about_domain
from environments.models import Organisation
from environments.policies import mfa_schedule
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa
from tests.archival.limits import archive_after
from tests.factories import NOW, conversation, environment, member, organisation
from tests.mailbox import clear_mails, sent_mails

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
INSTANT = re.compile(r"\b\d{1,2} \w+ \d{4}, \d\d:\d\d (CES?T|UTC)\b")


def is_late(acme, ada) -> None:
    archive_after(acme, 30)
    conversation(of=acme, days_ago=40, now=NOW)
    purge(now=NOW - 20 * DAY)
    alarms.store_proof(now=NOW)


def is_on_time_again(acme, ada) -> None:
    is_late(acme, ada)
    purge(now=NOW)
    alarms.store_proof(now=NOW)


def is_silent(acme, ada) -> None:
    purge(now=NOW)
    alarms.store_proof(now=NOW + 90 * DAY)


def never_ran(acme, ada) -> None:
    alarms.store_proof(now=NOW + 900 * DAY)


def is_heard_again(acme, ada) -> None:
    never_ran(acme, ada)
    purge(now=NOW)
    alarms.store_proof(now=NOW)


def begins_a_deletion(acme, ada) -> None:
    conversation(of=acme, days_ago=40, now=NOW)
    deletion.begin_deletion(acme, by=Caller.of(ada), now=NOW)


def stops_a_deletion(acme, ada) -> None:
    conversation(of=acme, days_ago=40, now=NOW)
    deletion.stop_deletion(deletion.begin_deletion(acme, by=Caller.of(ada), now=NOW), by=Caller.of(ada), now=NOW)


def deletes_it_all(acme, ada) -> None:
    deletion.continue_deletion(deletion.begin_deletion(acme, by=Caller.of(ada), now=NOW), now=NOW)


def tells_of_a_domain(news: DomainNews) -> Callable[..., None]:
    def tell(acme, ada) -> None:
        found = domains.add_domain(acme, domain="acme.test", by=Caller.of(ada), now=NOW)
        found.missing_since = NOW
        clear_mails()
        mail_about_domain(found, news, now=NOW)

    tell.__name__ = f"domain_{news}"
    return tell


def asks_to_join(acme, ada) -> None:
    root = member(acme, is_superuser=True)
    Organisation.objects.filter(pk=acme.pk).update(auto_invite_roles=[Role.MEMBER])
    domain = domains.add_domain(acme, domain="acme.test", by=Caller.of(root), now=NOW)
    domains.verify_without_record(domain, by=Caller.of(root), now=NOW)
    assert joining.mail_join_link("new@acme.test", language=ada.language, now=NOW)


def requires_mfa(acme, ada) -> None:
    set_require_mfa(acme, to=MfaRule.on(), by=Caller.of(ada), now=NOW)


def requires_mfa_no_more(acme, ada) -> None:
    requires_mfa(acme, ada)
    set_require_mfa(acme, to=MfaRule.off(), by=Caller.of(ada), now=NOW)


def changes_mfa_and_nothing_of_it(acme, ada) -> None:
    set_require_mfa(acme, to=MfaRule.off(), by=Caller.of(ada), now=NOW)


def schedules_mfa(acme, ada) -> None:
    mfa_schedule.schedule_mfa(acme, to=MfaRule.on(), acts_at=NOW + 5 * DAY, by=Caller.of(ada), now=NOW)


def cancels_mfa(acme, ada) -> None:
    schedules_mfa(acme, ada)
    mfa_schedule.cancel_scheduled_mfa(acme, by=Caller.of(ada), now=NOW)


def replaces_the_scheduled_mfa(acme, ada) -> None:
    schedules_mfa(acme, ada)
    set_require_mfa(acme, to=MfaRule.inherit(), by=Caller.of(ada), now=NOW)


def reminds_of_mfa(acme, ada) -> None:
    schedules_mfa(acme, ada)
    assert mfa_schedule.remind_members(now=NOW + HOUR)


def limits_above(acme, ada) -> Organisation:
    agency = Organisation.objects.get_parent(acme)
    conversation(of=acme, days_ago=40, now=NOW)
    services.change_retention(agency, to=Retention.limit(30), by=SYSTEM, now=NOW)
    return agency


def does_not_limit_above(acme, ada) -> None:
    services.cancel_pending_change(limits_above(acme, ada), by=SYSTEM, now=NOW)


def limits_here(acme, ada) -> None:
    conversation(of=acme, days_ago=40, now=NOW)
    services.change_retention(acme, to=Retention.limit(30), by=Caller.of(ada), now=NOW)


def limits_here_at_once(acme, ada) -> None:
    limits_here(acme, ada)
    services.apply_due_changes(now=NOW + 2 * DAY)


def does_not_limit_here(acme, ada) -> None:
    limits_here(acme, ada)
    services.cancel_pending_change(acme, by=Caller.of(ada), now=NOW)


ACTS = [
    is_late, is_on_time_again, is_silent, never_ran, is_heard_again, begins_a_deletion, stops_a_deletion,
    deletes_it_all, asks_to_join, requires_mfa, requires_mfa_no_more, changes_mfa_and_nothing_of_it, schedules_mfa,
    cancels_mfa, replaces_the_scheduled_mfa, reminds_of_mfa, limits_above, does_not_limit_above, limits_here,
    limits_here_at_once, does_not_limit_here, *map(tells_of_a_domain, DomainNews),
]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "nl"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_the_first_sentence_says_when_it_happened_with_the_zone(act, language):
    acme = environment(name="Acme", slug="acme", parent=organisation(Kind.AGENCY))
    known = {"is_superuser": True, "language": language, "time_zone": "Europe/Amsterdam"}
    act(acme, member(acme, email="ada@acme.test", **known))
    sent = [message.body for message in sent_mails()]
    assert sent
    for body in sent:
        words = body.split("\n\n")[0 if "/invitation/" in body else 1]  # below the title, which one of them lacks
        assert INSTANT.search(re.split(r"(?<=[.?])\s", words)[0]), words
