"""The page of compliance: its figures, the lists of what they count, the file, and who sees what."""

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from agencies.compliance.figures import ENVIRONMENTS, FIGURES, Figure
from archival.models import Guard, Hold, PolicyChange, Proof, PurgeRun
from environments.choices import ProviderState, Role
from environments.models import ApiKey, Membership, Organisation
from tests.accounts.conftest import require_mfa
from tests.archival.limits import archive_after
from tests.factories import UserFactory, environment, member
from tests.logging_in import give_app, logged_in_client
from tests.own_providers import own_provider, verified_domain
from tests.queries import count_queries

pytestmark = pytest.mark.django_db
# What each figure counts below Aurora, as ``prepare`` makes it.
COUNTS = {
    "environments": 7,
    "late": 2,
    "paused": 1,
    "guarded": 1,
    "held": 2,
    "unchecked": 1,
    "kept_forever": 3,
    "without_mfa": 6,
    "pending": 2,
    "people_without_factor": 3,
    "expiring_access": 1,
    "expiring_keys": 3,
    "providers_off": 3,
    "limit_up-to-90": 1,
    "limit_up-to-365": 1,
    "limit_up-to-730": 1,
    "limit_longer": 1,
    "limit_none": 3,
    "oldest_up-to-30": 1,
    "oldest_up-to-90": 1,
    "oldest_up-to-365": 1,
    "oldest_up-to-730": 1,
    "oldest_longer": 1,
    "oldest_none": 2,
}


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


def proof(slug: str, state: str, *, days: float | None = None, is_late: bool = False) -> None:
    """Store a check that found its oldest messages so many days old, and files that have waited for longer."""
    oldest = None if days is None else (timezone.now() - timedelta(days=days)).isoformat()
    found = [
        {"kind": "messages", "state": state, "oldest": oldest, "late_by_seconds": 9 * is_late},
        {"kind": "files", "state": "ok", "oldest": "2001-01-01T00:00:00+00:00", "late_by_seconds": 0},
    ]
    Proof.objects.create(environment=get(slug), checked_at=timezone.now(), is_late=is_late, findings=found)


def key(name: str, *, days: int | None, **fields: object) -> None:
    expires_at = None if days is None else timezone.now() + timedelta(days=days)
    ApiKey.objects.create(name=name, prefix=name, hash="0" * 64, expires_at=expires_at, **fields)


def prepare() -> None:
    """Give each figure something to count, and something beside it that it must leave out."""
    now = timezone.now()
    for slug, days in {"shop": 90, "depot": 365, "desk": 366, "till": 3650}.items():
        archive_after(get(slug), days)
    require_mfa(get("lab"))
    proof("shop", "late", days=91, is_late=True)
    proof("depot", "paused", days=700, is_late=True)
    proof("desk", "ok", days=29)
    proof("till", "ok", days=3000)
    proof("lab", "kept", days=31)
    proof("van", "kept")
    proof("elsewhere", "late", is_late=True)
    run = PurgeRun.objects.create(as_of=now)
    Guard.objects.create(environment=get("till"), run=run)
    Guard.objects.create(environment=get("van"), run=run, confirmed_at=now)
    for slug in ("shop", "shop", "desk", "elsewhere"):
        Hold.objects.create(environment=get(slug), reason="Case 7", placed_at=now)
    Hold.objects.create(environment=get("van"), reason="Closed", placed_at=now, released_at=now)
    for slug in ("till", "van", "elsewhere"):
        PolicyChange.objects.create(
            organisation=get(slug), organisation_label=slug, archival="limit", days=30, locked=False, before={},
            requested_at=now, requested_label="ada", acts_at=now + timedelta(days=1),
        )  # fmt: skip
    prepare_people()
    prepare_providers()


def prepare_providers() -> None:
    for slug, state in {"aurora": "tried", "bakker": "off", "shop": "on", "lab": "on", "elsewhere": "off"}.items():
        own_provider(get(slug), verified_domain(get(slug), f"{slug}.test"), state=ProviderState(state))
    get("lab").domains.update(verified_at=None, proof="")


def prepare_people() -> None:
    now = timezone.now()
    both = member(get("shop"), Role.MEMBER, email="both@bakker.test")
    Membership.objects.create(user=both, organisation=get("lab"), roles=[Role.MEMBER], accepted_at=now)
    leaving = member(get("bakker"), Role.DEVELOPER, email="leaving@bakker.test")
    leaving.memberships.update(expires_at=now + timedelta(days=29))
    later = member(get("lab"), email="later@aurora.test")
    later.memberships.update(expires_at=now + timedelta(days=31))
    give_app(member(get("lab")))
    member(get("lab"), is_active=False)
    gone = member(get("lab"))
    gone.memberships.update(expires_at=now - timedelta(days=1))
    UserFactory(email="nowhere@aurora.test")
    stranger = member(get("elsewhere"))
    key("own", days=3, organisation=get("lab"), roles=[Role.DEVELOPER])
    key("everywhere", days=3, owner=leaving)
    key("here", days=3, owner=leaving, organisation=get("bakker"))
    key("later", days=31, owner=leaving)
    key("never", days=None, owner=leaving)
    key("expired", days=-1, owner=leaving)
    key("revoked", days=3, owner=leaving, revoked_at=now)
    key("theirs", days=3, owner=stranger)
    key("other", days=3, organisation=get("elsewhere"), roles=[Role.DEVELOPER])
    key("away", days=3, owner=leaving, organisation=get("elsewhere"))


def figures_on(response) -> dict[str, int]:
    return {each.figure.name: each.count for each in response.context["compliance"].figures}


def test_it_counts_what_is_below_and_nothing_else(ada):
    prepare()
    assert figures_on(ada.get("/aurora/compliance/")) == COUNTS


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_each_figure_leads_to_as_many_rows_as_it_says(ada, figure: Figure):
    prepare()
    page = ada.get("/aurora/compliance/")
    (counted,) = [each for each in page.context["compliance"].figures if each.figure == figure]

    assert f'href="{counted.address.replace("&", "&amp;")}"' in page.text
    rows = ada.get(counted.address)
    assert rows.status_code == 200
    listed = rows.context["lines" if figure.view_name == ENVIRONMENTS else "rows"]
    assert (len(listed), rows.context["page"].paginator.count) == (counted.count, counted.count)
    assert rows.text.count('<th scope="row">') == counted.count > 0


@pytest.mark.parametrize("slug", ["aurora", "bakker", "shop"])
def test_each_figure_leads_to_a_page_that_opens(ada, slug):
    prepare()
    figures = ada.get(f"/{slug}/compliance/").context["compliance"].figures
    assert {each.address: ada.get(each.address).status_code for each in figures} == {
        each.address: 200 for each in figures
    }
    assert len(figures) == len(FIGURES)


def test_figures_of_people_and_keys_are_left_out_for_who_cannot_see_them(aurora):
    prepare()
    manager = logged_in_client(member(aurora, Role.ENVIRONMENT_MANAGER))
    assert COUNTS.keys() - figures_on(manager.get("/aurora/compliance/")).keys() == {"expiring_keys", "providers_off"}
    assert manager.get("/aurora/compliance/keys/").status_code == 403
    assert manager.get("/aurora/compliance/providers/").status_code == 403


@pytest.mark.parametrize("page", ["compliance/", "compliance.csv", *(f"compliance/{x}/" for x in ("people", "access"))])
@pytest.mark.parametrize(
    ("role", "status"), [(Role.ENVIRONMENT_MANAGER, 200), (Role.MEMBER, 403), (Role.DEVELOPER, 403), (None, 404)]
)
def test_who_sees_which_page(aurora, page, role, status):
    user = member(aurora if role else get("elsewhere"), role or Role.ADMINISTRATOR)
    assert logged_in_client(user).get(f"/aurora/{page}").status_code == status


def test_the_file_has_the_figures_of_the_page(ada):
    prepare()
    answer = ada.get("/aurora/compliance.csv")
    rows = csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig")))
    assert {row["figure"]: int(row["count"]) for row in rows} == COUNTS


def test_a_list_leads_to_the_page_where_its_rows_can_be_changed(ada):
    prepare()
    (membership,) = Membership.objects.filter(user__email="leaving@bakker.test")
    assert f'<a href="/bakker/members/{membership.pk}/">Bakker</a>' in ada.get("/aurora/compliance/access/").text
    people = ada.get("/aurora/compliance/people/")
    assert [len(row.places) for row in people.context["rows"]] == [2, 1, 1]
    assert '<a href="/bakker/api-keys/">Bakker</a>' in ada.get("/aurora/compliance/keys/").text


def test_it_costs_the_same_for_one_environment_and_for_fifty(aurora, ada):
    prepare()
    paths = ["/aurora/compliance/", *(f"/aurora/compliance/{part}/" for part in ("people", "access", "keys"))]
    before = {path: count_queries(lambda path=path: ada.get(path)) for path in paths}
    for number in range(50):
        below = environment(parent=aurora, slug=f"more-{number}")
        proof(below.slug, "late", days=number * 50, is_late=True)
        person = member(below)
        person.memberships.update(expires_at=timezone.now() + timedelta(days=2))
        key(f"more-{number}", days=3, owner=person)

    assert {path: count_queries(lambda path=path: ada.get(path)) for path in paths} == before
    assert max(before.values()) <= 10
