"""Query the warnings that pages show: late environments, a silent purge, an outdated proof, late mail."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models.functions import JSONObject

from archival.evidence.ledger import environments_below
from archival.evidence.silence import good_runs, installed, is_outdated, is_silent_since
from archival.models import Proof
from environments.models import Organisation, OrganisationQuerySet
from web.among import AmongMany
from web.models import Delivery
from web.together import counted, lowest

NAMED = 3  # how many late environments a warning names; the others are counted


@dataclass(frozen=True)
class Warnings:
    """The warnings of one page; false in a condition if there are none."""

    late: list[Proof]  # of a few environments, by name; these have only what the warning shows
    count: int  # how many environments are late
    is_silent: bool = False
    is_paused: bool = False
    is_outdated: bool = False  # the last check of the proof is too old
    is_mail_late: bool = False  # a mail has waited for more than an hour

    def __bool__(self) -> bool:
        return bool(self.count or self.is_silent or self.is_outdated or self.is_mail_late)

    @property
    def more(self) -> int:
        return self.count - len(self.late)


def questions_below(organisation: Organisation) -> dict[str, Any]:
    """Return what ``warnings_below`` needs to know, for ``fetch_together``."""
    return _questions_about(environments_below(organisation))


def warnings_below(answers: dict[str, list[Any]]) -> Warnings:
    """Return the warnings about late environments at or below an organisation, by the last check."""
    late = [_late_proof(**json.loads(each)) for each in answers["late"]]
    late.sort(key=lambda proof: str(proof.environment.name))
    return Warnings(late, answers["late_count"][0])


def questions_about_all(*, now: datetime) -> dict[str, Any]:
    """Return what ``warnings_of_all`` needs to know, for ``fetch_together``."""
    return {
        **_questions_about(Organisation.objects.environments()),
        "checked_at": lowest(Proof.objects.all(), "checked_at"),
        "good_run": good_runs(now=now).values_list("started_at")[:1],
        "installed": lowest(installed(), "applied"),
        "late_mail": Delivery.objects.late(now).values_list("pk")[:1],
    }


def warnings_of_all(answers: dict[str, list[Any]], *, now: datetime) -> Warnings:
    """Return all warnings of the installation, which super users see."""
    late = warnings_below(answers)
    return Warnings(
        late.late,
        late.count,
        is_silent=is_silent_since([*answers["good_run"], *answers["installed"]][0], now=now),
        is_paused=not settings.PURGE_ENABLED,
        is_outdated=is_outdated(answers["checked_at"][0], now=now),
        is_mail_late=bool(answers["late_mail"]),
    )


def _questions_about(environments: OrganisationQuerySet) -> dict[str, Any]:
    late = Proof.objects.filter(AmongMany("environment", environments.order_by().values("pk")), is_late=True)
    shown = JSONObject(slug="environment__slug", name="environment__name", findings="findings")
    return {
        "late": late.order_by("environment_id").values_list(shown)[:NAMED],
        "late_count": counted(late),
    }


def _late_proof(slug: str, name: str, findings: list[dict[str, Any]]) -> Proof:
    return Proof(environment=Organisation(slug=slug, name=name), is_late=True, findings=findings)
