"""Creating several organisations by a list: each line says what is wrong with it, and all are created or none."""

import re

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone, translation

from agencies.new_organisations.lines import MOST_LINES, read_lines
from agencies.new_organisations.services import ListRefused, check_lines, create_lines
from archival.models import PolicyChange
from audit.models import Event
from environments.caller import SYSTEM, Caller
from environments.choices import Kind, Role
from environments.models import Organisation
from environments.policies.retention import Retention
from environments.policies.services import set_retention
from environments.tree import services as tree
from tests.factories import UserFactory, environment, member, organisation
from tests.logging_in import give_app, logged_in_client
from tests.queries import count_queries
from web.versions import version_of

pytestmark = pytest.mark.django_db
PAGE = "/aurora/organisation/new/list/"
BOTH = "customer,Cohen,cohen\nenvironment,Cohen shop,,cohen\nenvironment,Lab two"


@pytest.fixture
def boss(aurora):
    boss = member(aurora)
    give_app(boss)
    return boss


@pytest.fixture
def ada(boss):
    return logged_in_client(boss)


def get(slug: str) -> Organisation:
    return Organisation.objects.get(slug=slug)


def faults(text: str, aurora: Organisation, by: Caller = SYSTEM) -> list[list[str]]:
    lines = read_lines(text)
    check_lines(lines, aurora, by=by)
    return [line.faults for line in lines]


def make(text: str, aurora: Organisation, by: Caller = SYSTEM) -> list[Organisation]:
    return create_lines(read_lines(text), aurora, by=by, now=timezone.now())


def send(client, text: str, **more):
    fields = {"do": "create", "lines": text, "seen": version_of(text.splitlines())}
    return client.post(PAGE, fields | more)


# -- Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        BOTH,
        "kind,name,short name,above\ncustomer,Cohen,cohen,\nenvironment,Cohen shop,,cohen\nenvironment,Lab two,,",
        "\ufeffSoort;Naam\r\nCustomer;Cohen;cohen;\r\n\r\nEnvironment;Cohen shop;;cohen\r\nenvironment;Lab two\r\n",
        "customer\tCohen\tcohen\nenvironment\tCohen shop\t\tcohen\nENVIRONMENT\t Lab two \t\t",
        '"customer","Cohen","cohen"\n"environment","Cohen shop","","cohen"\nenvironment,Lab two,,aurora',
        "environment,Cohen shop,,cohen\nenvironment,Lab two\ncustomer,Cohen,cohen",
    ],
)
def test_a_list_is_read_as_people_paste_it_and_as_spreadsheets_save_it(aurora, text):
    make(text, aurora)
    assert get("cohen-shop").parent_path == get("cohen").path
    assert get("cohen").parent_path == get("lab-two").parent_path == aurora.path
    assert (get("cohen").kind, get("cohen").name, get("lab-two").kind) == (Kind.CUSTOMER, "Cohen", Kind.ENVIRONMENT)


def test_kinds_are_also_named_in_the_language_of_the_page(aurora):
    with translation.override("nl"):
        kinds = [line.organisation.kind for line in read_lines("klant,Cohen\nOmgeving,Shop")]
    assert kinds == [Kind.CUSTOMER, Kind.ENVIRONMENT]


@pytest.mark.parametrize(
    "text", ["", " \n\n", "kind,name", '"customer,Cohen', "a\0b,c", "environment,A\n" * (MOST_LINES + 1)]
)
def test_an_empty_list_one_that_is_too_long_and_what_is_no_csv_are_refused(text):
    with pytest.raises(ValidationError):
        read_lines(text)


# -- Faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("environment,Shop,shop", "This short name is taken."),
        ("environment,Old,once", "This short name belonged to another organisation, and stays reserved."),
        ("environment,Api,api", "Short name: This short name is reserved."),
        ("environment,A,same\nenvironment,B,same", "The same short name is in line 1."),
        ("environment,A\nenvironment,A", "The same name below the same organisation is in line 1."),
        ("customer,C,c\nenvironment,A,,c\nenvironment,A,,c", "The same name below the same organisation is in line 2."),
        ("customer,Bakker", "Bakker is there already."),
        ("village,A", "Unknown kind: village."),
        (",A", "Unknown kind: ."),
        ("environment,", "Display name: This field cannot be blank."),
        ("environment," + "x" * 256, "Display name: Ensure this value has at most 255 characters"),
        ("environment,A," + "x" * 64, "Short name: Ensure this value has at most 63 characters"),
        ("environment,A,Not a slug", "Short name: "),
        ("environment,A\u202eB", "Display name: A name has no control characters."),
        ("environment,A\x07B", "Display name: A name has no control characters."),
        ("environment,Caf\ufffd", "A character cannot be read. Save the file as UTF-8."),
        ("environment,A,,nothing", "There is no organisation with the short name nothing in which you can create"),
        ("environment,A,,elsewhere", "There is no organisation with the short name elsewhere in which you can create"),
        ("environment,A,,closed", "There is no organisation with the short name closed in which you can create"),
        (
            "environment,A,,shop",
            "An organisation of the kind environment cannot stand below one of the kind environment",
        ),
        ("customer,A,,bakker", "An organisation of the kind customer cannot stand below one of the kind customer."),
        ("customer,A,a,a", "An organisation of the kind customer cannot stand below one of the kind customer."),
        ("agency,A", "An organisation of the kind agency cannot stand below one of the kind agency."),
        ("environment,A,,,,more", "this one has more."),
    ],
)
def test_a_line_says_what_is_wrong_with_it(aurora, boss, text, fault):
    renamed = environment(parent=aurora, slug="once")
    tree.change_slug(renamed, slug="now", by=SYSTEM, now=timezone.now())
    closed = organisation(Kind.CUSTOMER, parent=aurora, slug="closed")
    tree.suspend(closed, by=SYSTEM, now=timezone.now())
    before = Organisation.objects.count()

    *_fine, found = faults(text, aurora, Caller.of(boss))

    assert len(found) == 1, found
    assert fault in found[0]
    with pytest.raises(ListRefused, match="1 line has a fault"):
        make(text, aurora, Caller.of(boss))
    assert Organisation.objects.count() == before


def test_only_super_users_create_agencies_by_a_list_too():
    market = organisation(Kind.MARKET, slug="north")
    assert faults("agency,A", market, Caller.of(member(market))) == [
        ["Only super users create organisations of the kind agency."]
    ]
    assert faults("agency,A", market, Caller.of(UserFactory(is_superuser=True))) == [[]]


def test_who_creates_below_a_customer_alone_creates_nothing_above_or_beside_it(aurora):
    by = Caller.of(member(get("bakker")))
    beside, above, here = faults("environment,A,,elsewhere\nenvironment,B,,aurora\nenvironment,C", get("bakker"), by)
    assert (len(beside), len(above), here) == (1, 1, [])


def test_short_names_are_made_from_names_and_never_twice(aurora):
    gone = environment(parent=aurora, slug="production-2")
    tree.delete_organisation(gone, by=SYSTEM, now=timezone.now())
    text = "customer,C,c\ncustomer,D,d\nenvironment,Production\nenvironment,Production,,c\nenvironment,Production,,d"
    text += "\nenvironment,Shop,,c\nenvironment,Production 3,,c\nenvironment,Api"
    made = make(text, aurora)
    assert sorted(each.slug for each in made) == [
        *("api-2", "c", "d", "production", "production-3", "production-3-2", "production-4", "shop-2"),
    ]


# -- Creating -----------------------------------------------------------------------------------------


def test_all_are_created_with_their_settings_resolved_and_one_event_each(aurora, boss):
    set_retention(aurora, to=Retention.limit(90), by=SYSTEM, now=timezone.now())

    made = make(BOTH, aurora, Caller.of(boss))

    assert [each.name for each in made] == ["Cohen", "Cohen shop", "Lab two"]
    for each in made:
        each.refresh_from_db()
        assert (each.effective_archive_after_days, each.archival_source) == (90, aurora)
    assert Organisation.find_problems() == ([], [], [], [], [])
    events = Event.objects.filter(action="organisation.created", actor_id=boss.pk).order_by("pk")
    assert [(event.organisation_label, event.after["slug"]) for event in events] == [
        *(("Cohen", "cohen"), ("Cohen shop", "cohen-shop"), ("Lab two", "lab-two")),
    ]
    assert not PolicyChange.objects.exists()


def test_organisations_that_are_created_one_by_one_afterwards_stand_behind_those_of_the_list(aurora):
    make(BOTH, aurora)
    environment(parent=aurora, slug="later")
    make("environment,Last\nenvironment,Very last,,cohen", aurora)
    assert Organisation.find_problems() == ([], [], [], [], [])
    children = [each.slug for each in get("aurora").get_children()]
    assert children == ["bakker", "lab", "cohen", "lab-two", "later", "last"]


def test_a_list_costs_as_few_queries_for_one_line_as_for_fifty(aurora, boss):
    numbers = iter(range(1_000))

    def many(count: int) -> None:
        rows = (f"environment,Place {next(numbers)},,bakker" for _number in range(count))
        make("\n".join(rows), aurora, Caller.of(boss))

    assert count_queries(lambda: many(1)) == count_queries(lambda: many(50)) <= 20


# -- The page -----------------------------------------------------------------------------------------


def test_the_page_shows_each_line_first_and_creates_nothing(ada, aurora):
    before = list(Organisation.objects.values())
    page = ada.post(PAGE, {"lines": BOTH})
    words = " ".join(re.sub("<[^>]*>", " ", page.text).split())
    assert "Create 3 organisations" in words
    assert "2 Cohen shop environment cohen-shop Cohen Will be created" in words
    assert list(Organisation.objects.values()) == before


def test_one_confirmation_creates_them_all(ada, aurora):
    answer = send(ada, BOTH)
    assert answer["Location"] == "/aurora/organisation/"
    assert "3 organisations were created." in ada.get(answer["Location"]).text
    assert get("cohen-shop").parent_path == get("cohen").path


def test_a_list_that_is_sent_twice_creates_everything_once(ada, aurora):
    send(ada, BOTH)
    before = Organisation.objects.count()
    again = send(ada, BOTH)
    assert "2 lines have a fault" in " ".join(again.text.split())  # nothing is known of what is below the first one
    assert Organisation.objects.count() == before


@pytest.mark.parametrize("seen", ["", "x"])
def test_a_list_that_was_not_shown_is_shown_first(ada, aurora, seen):
    assert "Will be created" in send(ada, BOTH, seen=seen).text
    assert not Organisation.objects.filter(slug="cohen").exists()


def test_one_fault_creates_none_of_them(ada, aurora):
    answer = send(ada, f"{BOTH}\nenvironment,Taken,shop")
    assert "1 line has a fault" in " ".join(answer.text.split())
    assert not Organisation.objects.filter(slug="cohen").exists()


def test_what_a_line_has_is_shown_as_text(ada, aurora):
    assert "<script>alert" not in ada.post(PAGE, {"lines": "<script>alert(1)</script>,<script>alert(2)</script>"}).text


@pytest.mark.parametrize("role", [Role.ORGANISATION_MANAGER, Role.MEMBER])
def test_nobody_but_an_administrator_creates_by_a_list(aurora, role):
    client = logged_in_client(member(aurora, role))
    assert (client.get(PAGE).status_code, send(client, BOTH).status_code) == (403, 403)
    assert not Organisation.objects.filter(slug="cohen").exists()
