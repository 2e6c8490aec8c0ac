"""Templates: stored with the rules of what they set, and applied when a customer or an environment is created."""

import re

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.urls import reverse
from django.utils import timezone

from agencies.models import OrganisationTemplate
from agencies.new_organisations.lines import MOST_WITH_TEMPLATE, read_lines
from agencies.new_organisations.services import ListRefused, check_lines, create_below, create_lines
from agencies.organisation_templates.services import MOST_MEMBERS, change_template, create_template, delete_template
from agencies.organisation_templates.values import TemplateValues
from archival.models import JournalEntry, PolicyChange
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.models import Organisation
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from environments.tree.services import delete_organisation
from tests.factories import UserFactory, environment, member, organisation
from tests.logging_in import expire_step_up, give_app, log_in, logged_in_client
from tests.queries import count_queries
from web.models import Delivery
from web.versions import ChangedMeanwhile, version_of

pytestmark = pytest.mark.django_db
LIST, NEW = "/aurora/templates/", "/aurora/organisation/new/"
STRICT = TemplateValues(
    "Strict", Retention.limit(90, locked=True), MfaRule.on(locked=True), auto_invite_roles=[Role.MEMBER]
)


@pytest.fixture
def boss(aurora):
    boss = member(aurora, email="boss@aurora.test")
    give_app(boss)
    return boss


@pytest.fixture
def by(boss) -> Caller:
    return Caller.of(boss)


@pytest.fixture
def ada(boss):
    return logged_in_client(boss)


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


def store(aurora, by, values: TemplateValues = STRICT) -> OrganisationTemplate:
    return create_template(aurora, values, by=by, now=timezone.now())


def create(parent, by, *, template, name="New", kind=Kind.ENVIRONMENT) -> Organisation:
    return create_below(parent, name=name, kind=kind, template=template, by=by, now=timezone.now())


def make(text: str, aurora, by) -> list[Organisation]:
    return create_lines(read_lines(text), aurora, by=by, now=timezone.now())


def faults(text: str, aurora, by) -> list[list[str]]:
    lines = read_lines(text)
    check_lines(lines, aurora, by=by)
    return [line.faults for line in lines]


def words(response) -> str:
    return " ".join(re.sub("<[^>]*>", " ", response.text).split())


# -- Apply --------------------------------------------------------------------------------------------


def test_a_new_customer_has_the_settings_with_their_locks_and_the_roles_of_its_template(aurora, boss, by):
    made = create(aurora, by, template=store(aurora, by), kind=Kind.CUSTOMER)

    assert (Retention.of(made), MfaRule.of(made)) == (Retention.limit(90, locked=True), MfaRule.on(locked=True))
    assert (made.effective_archive_after_days, made.effective_require_mfa) == (90, True)
    assert (made.auto_invite_roles, made.auto_invite_by) == ([Role.MEMBER], boss)
    events = Event.objects.filter(organisation_id=made.pk).order_by("pk")
    assert [(event.action, event.actor_id) for event in events] == [
        ("organisation.created", boss.pk),
        ("retention.changed", boss.pk),
        ("mfa_requirement.changed", boss.pk),
        ("auto_invite.changed", boss.pk),
        ("template.applied", boss.pk),
    ]


def test_a_limit_takes_effect_at_once_like_a_change_and_nobody_is_mailed(aurora, by):
    made = create(aurora, by, template=store(aurora, by))

    change = PolicyChange.objects.get(organisation=made)
    assert (change.state, change.days, change.locked) == ("applied", 90, False)
    assert JournalEntry.objects.filter(kind="policy").count() == 1
    assert not Delivery.objects.exists()


def test_an_environment_gets_no_locks(aurora, by):
    made = create(aurora, by, template=store(aurora, by))
    assert (Retention.of(made), MfaRule.of(made)) == (Retention.limit(90), MfaRule.on())


def test_people_of_a_template_get_its_roles_and_those_who_left_do_not(aurora, by):
    vera, mo = member(aurora, Role.MEMBER, email="vera@aurora.test"), member(get("bakker"), email="mo@aurora.test")
    members = {"vera@aurora.test": [Role.DEVELOPER, Role.MEMBER], "mo@aurora.test": [Role.MEMBER]}
    template = store(aurora, by, TemplateValues("Team", members=members))
    mo.memberships.all().delete()

    made = create(aurora, by, template=template)

    assert [(each.user, each.roles) for each in made.memberships.all()] == [(vera, ["developer", "member"])]


def test_roles_of_a_template_are_given_only_while_its_author_could_give_them(aurora, boss, by):
    template = store(aurora, by)
    other = Caller.of(member(aurora))
    boss.memberships.update(roles=[Role.MEMBER])
    with pytest.raises(ValidationError, match="Nobody is responsible for the roles of the template Strict any more"):
        create(aurora, other, template=template)
    assert faults("environment,New,,,strict", aurora, other) == [
        ["Nobody is responsible for the roles of the template Strict any more. Save the template again."]
    ]
    assert not Organisation.objects.filter(name="New").exists()
    change_template(template, STRICT, by=other, now=timezone.now())
    assert create(aurora, other, template=OrganisationTemplate.objects.get()).auto_invite_by == other.user


def test_a_template_that_changes_changes_nothing_that_exists(aurora, by):
    template = store(aurora, by)
    made = create(aurora, by, template=template)
    change_template(template, TemplateValues("Loose"), by=by, now=timezone.now())
    delete_template(template, by=by)
    made.refresh_from_db()
    assert (Retention.of(made), MfaRule.of(made), made.auto_invite_roles) == (
        *(Retention.limit(90), MfaRule.on()),
        [Role.MEMBER],
    )


def test_a_lock_between_the_template_and_the_place_refuses_it_and_nothing_is_created(aurora, by):
    loose = store(aurora, by, TemplateValues("Loose", Retention.keep(), MfaRule.off()))
    bakker, now = get("bakker"), timezone.now()
    set_retention(bakker, to=Retention.limit(30, locked=True), by=SYSTEM, now=now)
    set_require_mfa(bakker, to=MfaRule.on(locked=True), by=SYSTEM, now=now)

    with pytest.raises(ValidationError, match="Bakker locks this setting"):
        create(bakker, by, template=loose)

    assert faults("environment,New,,bakker,Loose", aurora, by) == [
        [
            "The template Loose keeps conversations longer than a lock above allows.",
            "The template Loose turns MFA off, and a lock above keeps it on.",
        ]
    ]
    assert not Organisation.objects.filter(name="New").exists()


# -- Store --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        (
            TemplateValues("A", Retention.limit(366)),
            "archive_after_days",
            "Aurora locks this setting: at most 365 days",
        ),
        (TemplateValues("A", Retention.keep()), "archival", "Aurora locks this setting"),
        (TemplateValues("A", mfa=MfaRule.off()), "require_mfa", "Aurora locks this setting: it stays on."),
        (TemplateValues(" "), "name", "This field cannot be blank."),
        (TemplateValues("x" * 101), "name", "at most 100 characters"),
        (TemplateValues("a\u202eb"), "name", "no control characters"),
        (TemplateValues("STANDARD"), "name", "There is a template with this name already."),
        (
            TemplateValues("A", members={"far@elsewhere.test": ["member"]}),
            "members",
            "far@elsewhere.test is no member",
        ),
        (TemplateValues("A", members={"no@body.test": ["member"]}), "members", "no@body.test is no member of Aurora"),
        (
            TemplateValues("A", members={f"p{n}@aurora.test": ["member"] for n in range(MOST_MEMBERS + 1)}),
            *("members", "at most 10 people"),
        ),
    ],
)
def test_what_cannot_be_is_refused_where_the_template_is_stored(aurora, by, values, field, said):
    now = timezone.now()
    set_retention(aurora, to=Retention.limit(365, locked=True), by=SYSTEM, now=now)
    set_require_mfa(aurora, to=MfaRule.on(locked=True), by=SYSTEM, now=now)
    environment(parent=aurora, slug="first")  # directly below, where the check must not look
    member(get("elsewhere"), email="far@elsewhere.test")
    store(aurora, by, TemplateValues("Standard"))

    with pytest.raises(ValidationError) as refused:
        store(aurora, by, values)

    assert said in " ".join(refused.value.message_dict[field])
    assert OrganisationTemplate.objects.count() == 1


def test_who_cannot_create_organisations_or_give_the_roles_stores_no_template(aurora):
    manager = Caller.of(member(aurora, Role.ORGANISATION_MANAGER))
    below = Caller.of(member(get("bakker")))
    for caller, place in ((manager, aurora), (below, aurora)):
        with pytest.raises(PermissionDenied):
            store(place, caller, TemplateValues("A"))
    with pytest.raises(ValidationError, match="below an environment"):
        store(get("shop"), Caller.of(member(get("shop"))), TemplateValues("A"))


def test_the_second_of_two_who_save_a_template_sees_what_the_first_one_changed(aurora, boss, by):
    template = store(aurora, by)
    seen = version_of(TemplateValues.of(template).as_json())
    change_template(template, TemplateValues("Other"), by=by, now=timezone.now(), seen=seen)
    with pytest.raises(ChangedMeanwhile, match=re.escape(boss.email)):
        change_template(template, STRICT, by=by, now=timezone.now(), seen=seen)
    assert OrganisationTemplate.objects.get().name == "Other"


def test_templates_and_their_people_end_with_the_organisation_and_the_account(aurora, by):
    vera = member(aurora, Role.MEMBER, email="vera@aurora.test")
    place = organisation(Kind.CUSTOMER, parent=aurora)
    template = store(aurora, by, TemplateValues("Team", members={vera.email: [Role.MEMBER]}))
    store(place, by, TemplateValues("Its own"))
    vera.delete()
    delete_organisation(place, by=by, now=timezone.now())
    assert list(OrganisationTemplate.objects.all()) == [template]
    assert not template.members.exists()


# -- Lists --------------------------------------------------------------------------------------------


def test_a_list_names_templates_the_nearest_of_a_name_first(aurora, by):
    store(aurora, by)
    store(get("bakker"), by, TemplateValues("strict", Retention.limit(7)))
    text = "customer,Cohen,cohen,,STRICT\nenvironment,One,,cohen\nenvironment,Two,,bakker,Strict\nenvironment,Three"

    make(text, aurora, by)

    assert Retention.of(get("cohen")) == Retention.limit(90, locked=True)
    found = {slug: (get(slug).archival, get(slug).effective_archive_after_days) for slug in ("one", "two", "three")}
    assert found == {"one": ("inherit", 90), "two": ("limit", 7), "three": ("inherit", None)}


def test_templates_of_a_list_are_checked_against_each_other_before_anything_is_created(aurora, by):
    store(aurora, by)
    store(aurora, by, TemplateValues("Loose", Retention.keep(), MfaRule.off()))
    store(get("elsewhere").get_parent(), SYSTEM, TemplateValues("Foreign"))
    store(get("bakker"), by, TemplateValues("Of Bakker"))
    text = "customer,Cohen,cohen,,Strict\nenvironment,One,,cohen,Loose\nenvironment,Two,,,Foreign"
    text += "\nenvironment,Three,,,Of Bakker\nenvironment,Four,,,Loose"
    found = faults(text, aurora, by)
    assert [len(each) for each in found] == [0, 2, 1, 1, 0]
    assert found[2] == ["There is no template with the name Foreign."]
    with pytest.raises(ListRefused, match="3 lines"):
        make(text, aurora, by)
    assert not Organisation.objects.filter(slug="cohen").exists()


def test_who_sees_nothing_of_the_organisation_above_uses_none_of_its_templates(aurora, by):
    store(aurora, by)
    below = member(get("bakker"))
    give_app(below)
    assert faults("environment,One,,,Strict", get("bakker"), Caller.of(below)) == [
        ["There is no template with the name Strict."]
    ]
    assert "Strict" not in logged_in_client(below).get("/bakker/organisation/new/").text


def test_a_list_has_at_most_so_many_lines_with_a_template():
    with pytest.raises(ValidationError, match=f"At most {MOST_WITH_TEMPLATE} lines"):
        read_lines("environment,A,,,Strict\n" * (MOST_WITH_TEMPLATE + 1))


def test_a_preview_with_templates_costs_as_few_queries_for_one_line_as_for_fifty(aurora, by):
    for number in range(5):
        store(aurora, by, TemplateValues(f"T{number}", auto_invite_roles=[Role.MEMBER]))
    costs = {
        count: count_queries(
            lambda n=count: faults(
                "\n".join(f"environment,Place {each},,bakker,T{each % 5}" for each in range(n)), aurora, by
            )
        )
        for count in (1, 50)
    }
    assert costs[1] == costs[50]


# -- Pages --------------------------------------------------------------------------------------------


def test_a_template_is_created_changed_and_deleted_on_pages(ada, aurora, boss):
    fields = {"name": "Standard", "archival": "limit", "archive_after_days": "60", "require_mfa": "inherit"}
    member(get("shop"), Role.MEMBER, email="vera@aurora.test")
    answer = ada.post(f"{LIST}new/", fields | {"roles": ["member"], "members": "vera@aurora.test,member+developer"})
    assert answer["Location"] == LIST
    page = words(ada.get(LIST))
    assert "Standard 60 days Inherit Member vera@aurora.test Developer, Member" in page
    template = OrganisationTemplate.objects.get()
    assert template.changed_by == boss

    changed = ada.post(f"{LIST}{template.pk}/", fields | {"archive_after_days": "30"}, follow=True)
    assert "What was created by it stays as it is." in words(changed)
    assert OrganisationTemplate.objects.get().archive_after_days == 30

    ada.post(f"{LIST}{template.pk}/delete/")
    assert not OrganisationTemplate.objects.exists()
    actions = Event.objects.filter(action__startswith="template.").order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["template.created", "template.changed", "template.deleted"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"archival": "limit"}, "Give a whole number of days"),
        ({"archival": "keep", "archival_locked": "on"}, "Only a limit can be locked."),
        ({"require_mfa": "off", "require_mfa_locked": "on"}, "Only the value on can be locked."),
        ({"members": "vera"}, "address"),
        ({"members": "boss@aurora.test,member,2040-03-05"}, "Roles by a template have no end date."),
        ({"members": "nobody@aurora.test,member"}, "is no member of Aurora"),
    ],
)
def test_the_form_of_a_template_says_what_is_wrong(ada, fields, said):
    answer = ada.post(f"{LIST}new/", {"name": "A", "archival": "inherit", "require_mfa": "inherit"} | fields)
    assert said in answer.text
    assert not OrganisationTemplate.objects.exists()


def test_a_template_needs_a_fresh_confirmation_where_it_is_stored_and_where_it_is_used(client, aurora, boss, by):
    template = store(aurora, by)
    log_in(client, boss)
    expire_step_up()
    fields = {"name": "B", "archival": "inherit", "require_mfa": "inherit"}
    sent = [
        client.post(f"{LIST}new/", fields),
        client.post(f"{LIST}{template.pk}/", fields),
        client.post(f"{LIST}{template.pk}/delete/"),
        client.post(NEW, {"name": "New", "kind": "environment", "template": template.pk}),
    ]
    assert [reverse("accounts:step-up") in answer["Location"] for answer in sent] == [True] * 4
    assert list(OrganisationTemplate.objects.values_list("name", flat=True)) == ["Strict"]
    assert not Organisation.objects.filter(name="New").exists()


def test_the_page_of_a_new_organisation_offers_templates_and_applies_the_chosen_one(ada, aurora, by):
    template = store(aurora, by)
    assert "Strict (Aurora)" in ada.get(NEW).text

    answer = ada.post(NEW, {"name": "Cohen", "kind": "customer", "template": template.pk})

    assert answer["Location"] == "/cohen/organisation/"
    assert Retention.of(get("cohen")) == Retention.limit(90, locked=True)


def test_an_administrator_creates_only_kinds_that_are_allowed_below(ada, aurora):
    assert ada.post(NEW, {"name": "New One", "kind": "customer", "slug": ""})["Location"] == "/new-one/organisation/"
    assert ada.post(NEW, {"name": "Two", "kind": "agency", "slug": ""}).status_code == 200
    taken = ada.post(NEW, {"name": "Three", "kind": "customer", "slug": "shop"})
    assert "This short name is taken." in taken.text
    assert get("new-one").parent_path == aurora.path
    assert not Organisation.objects.filter(name__in=["Two", "Three"]).exists()


def test_agencies_are_created_below_a_market_by_super_users_alone():
    market = organisation(Kind.MARKET, slug="north")
    with pytest.raises(ValidationError, match="Only super users create"):
        create(market, Caller.of(member(market)), template=None, kind=Kind.AGENCY)
    assert create(market, Caller.of(UserFactory(is_superuser=True)), template=None, kind=Kind.AGENCY).pk


def test_a_template_of_another_organisation_is_not_found(ada, aurora, by):
    template = store(get("elsewhere").get_parent(), SYSTEM, TemplateValues("Foreign"))
    for path in (f"{LIST}{template.pk}/", f"{LIST}{template.pk}/delete/"):
        assert ada.get(path).status_code == 404
    answer = ada.post(NEW, {"name": "New", "kind": "environment", "template": template.pk})
    assert answer.status_code == 200
    assert not Organisation.objects.filter(name="New").exists()
