"""Every address × every method × every role × every place in the tree, against the table in ``expected.py``.

The whole product runs with the long tests. With the others runs a part of it: every address, method, act of a form,
role and place, but not all with each other.
"""

import re
from collections.abc import Iterator
from functools import cache
from http.cookies import SimpleCookie
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from environments.choices import PERMISSIONS, Permission, Role
from tests.authorization.expected import (
    EVERYTHING,
    FOR_SUPER_USERS,
    OF_ORGANISATIONS,
    OF_OTHERS,
    OPEN,
    OWN,
    ROLES,
    WITHOUT_KEYS,
    Line,
    Needed,
    Own,
)
from tests.authorization.world import SUPER_USER, Target, World, forms_of, stored_file
from tests.environments.dns_server import dns_server
from tests.environments.test_permissions import views
from tests.logging_in import logged_in_client

pytestmark = pytest.mark.django_db
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
WHO = [*Role, SUPER_USER]
WITH_ROLE = {"own", "child"}  # where a role counts
DONE = {200, 201, 302, 400, 409}  # 400 and 409: what was asked is not possible, which is no question of permission
# Pages that only a session that is not good enough is sent to.
AWAY = re.compile(r"/(login|verify|enrol|profile/security/confirm)/")


class Asked(NamedTuple):
    view: str
    method: str
    act: str  # of a form that can do several things
    needs: Needed | None  # None: the address does not take the method

    def __str__(self) -> str:
        return " ".join(filter(None, [self.method, self.view, self.act]))


@pytest.fixture(scope="module")
def name_server() -> Iterator[str]:
    with dns_server() as zone:
        yield zone.address


@pytest.fixture
def world(db, settings, name_server) -> Iterator[World]:
    settings.DNS_NAMESERVERS, settings.DEV_MAILBOX = [name_server], None
    with stored_file():
        yield World()


@cache
def routes() -> dict[str, str]:
    return {name: route for route, name, _pattern in views()}


# -- The table ----------------------------------------------------------------------------------


def test_the_table_names_every_address_once():
    tables = [OF_ORGANISATIONS, OWN, FOR_SUPER_USERS, OPEN]
    named = [name for table in tables for name in table]
    assert routes().keys() - set(named) == set(), "give each new address its line in tests/authorization/expected.py"
    assert set(named) - routes().keys() == set()
    assert len(named) == len(set(named))
    of_slug = {name for name, route in routes().items() if "<slug:slug>" in route}
    named_by_id = {name for name, line in OF_ORGANISATIONS.items() if line.of_deletion}
    assert of_slug - {"environments:ask-access"} == OF_ORGANISATIONS.keys() - named_by_id


def test_roles_have_the_permissions_of_the_table():
    assert PERMISSIONS == ROLES


# -- Organisations ------------------------------------------------------------------------------


def questions(line: Line, view: str) -> Iterator[Asked]:
    """Yield what is asked of an address: each method, and each act of its form."""
    posted = {"": line.post} if line.post is None or isinstance(line.post, frozenset) else line.post
    needs = {"GET": line.get, "HEAD": line.get, "PATCH": line.patch}
    for method in METHODS:
        if method == "POST":
            yield from (Asked(view, method, act, needed) for act, needed in posted.items())
        else:
            yield Asked(view, method, "", needs.get(method))


def expected(asked: Asked, line: Line, target: Target, who: str, place: str) -> set[int]:
    """Return the statuses that the table allows; see there."""
    if asked.method == "OPTIONS" and line.is_rest:
        return {200}
    if asked.needs is None:
        return {405}
    has: Needed = EVERYTHING if who == SUPER_USER else ROLES[Role(who)] if place in WITH_ROLE else frozenset()
    if line.above and place == "own" and who != SUPER_USER:
        has &= {Permission.VIEW}
    return allowed(asked, line, target, has)


def allowed(asked: Asked, line: Line, target: Target, has: Needed) -> set[int]:
    if Permission.VIEW not in has or target.node.kind not in line.kinds:
        return {404}
    if asked.needs is None or not asked.needs <= has:
        return {line.low}
    return {200} if asked.method in {"GET", "HEAD"} else DONE


class Visitor:
    """Somebody who sends requests, each to the same state: what one does is rolled back."""

    def __init__(self, client: Client, *, key: str = "") -> None:
        self.client = client
        self.cookies = {name: morsel.value for name, morsel in client.cookies.items()}
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def send(self, method: str, address: str, form: dict[str, Any]) -> int | str:
        """Return the status of the answer; where it leads, if that is to a page to log in or to step up."""
        self.client.cookies = SimpleCookie(self.cookies)
        before = transaction.savepoint()  # no block of its own: some views begin a transaction that has to be outermost
        response = self._answer(method, address, form)
        if response.streaming:
            b"".join(response)
        transaction.savepoint_rollback(before)
        if response.status_code == 302 and AWAY.match(response.url):
            return response.url
        return response.status_code

    def _answer(self, method: str, address: str, form: dict[str, Any]) -> HttpResponse:
        if method == "POST" and not address.startswith("/api/"):
            return self.client.post(address, form, headers=self.headers)
        if method in {"GET", "HEAD"}:
            return getattr(self.client, method.lower())(address, headers=self.headers)
        send = getattr(self.client, method.lower())
        return send(address, form, content_type="application/json", headers=self.headers)


def address_of(view: str, things: dict[str, Any], slug: str) -> str:
    """Return the address of a view with what is its own among ``things``, in the path and in the query."""
    own = things.get(view, {})
    values = {"slug": slug, **things, **own}
    names = re.findall(r"<(?:\w+:)?(\w+)>", routes()[view])
    query = "&".join(f"{name}={value}" for name, value in own.items() if name.startswith("?"))
    return reverse(view, kwargs={name: values[name] for name in names}) + query


def wrong_answers(visitor: Visitor, target: Target, lines: dict[str, Line], *, who: str, place: str, most: bool) -> Any:
    """Return what was answered otherwise than the table says; ``most`` sends HEAD and what no line takes, too."""
    forms, found = forms_of(target), {}
    for view, line in lines.items():
        address = address_of(view, target.arguments, target.node.slug)
        for asked in questions(line, view):
            if not most and (asked.needs is None or asked.method == "HEAD"):
                continue
            form = {"do": asked.act, **forms.get(f"{view} {asked.act}".strip(), {})} if asked.act else forms.get(view)
            status, fit = visitor.send(asked.method, address, form or {}), expected(asked, line, target, who, place)
            if status not in fit:
                found[str(asked)] = f"{status} rather than {sorted(fit)}"
    return found


def lines_of(target: Target, world: World, *, is_rest: bool = False) -> dict[str, Line]:
    of_deletion = target is world.deleted
    return {
        view: line
        for view, line in OF_ORGANISATIONS.items()
        if line.of_deletion == of_deletion and (line.is_rest or not is_rest)
    }


def targets_of(world: World) -> dict[str, Target]:
    return {**world.targets, "a deletion": world.deleted}


def places_of(target: Target, who: str) -> set[str]:
    """Return where somebody can stand to the target; a super user has no role anywhere."""
    return {"own"} if who == SUPER_USER else set(target.places)


def wrong_by_session(world: World, who: str, places: set[str], *, most: bool) -> dict[str, Any]:
    found = {}
    for name, target in targets_of(world).items():
        for place in places_of(target, who) & places:
            visitor = Visitor(logged_in_client(world.person(who, target.places[place])))
            lines = lines_of(target, world)
            found[f"{name}: {place}"] = wrong_answers(visitor, target, lines, who=who, place=place, most=most)
    return {where: wrong for where, wrong in found.items() if wrong}


def wrong_by_key(world: World, who: str, places: set[str], *, most: bool) -> dict[str, Any]:
    found = {}
    for name, target in world.targets.items():
        for place in places_of(target, who) & places:
            lines, at = lines_of(target, world, is_rest=True), target.places[place]
            raw = {"a person's key": world.key_of(world.person(who, at))}
            if who != SUPER_USER:
                raw["an organisation's key"] = world.key_of_organisation(who, at)
            for kind, key in raw.items():
                visitor = Visitor(Client(), key=key)
                wrong = wrong_answers(visitor, target, lines, who=who, place=place, most=most)
                found[f"{name}: {place}, by {kind}"] = wrong
    return {where: wrong for where, wrong in found.items() if wrong}


PLACES = {"own", "child", "sibling", "parent", "foreign"}


@pytest.mark.faults
@pytest.mark.parametrize("who", WHO)
def test_every_address_answers_every_role_in_every_place_as_the_table_says(world, who):
    assert {place for target in targets_of(world).values() for place in target.places} == PLACES
    assert wrong_by_session(world, who, PLACES, most=True) == {}
    assert wrong_by_key(world, who, PLACES, most=True) == {}


@pytest.mark.parametrize("who", WHO)
def test_every_address_answers_every_role_at_its_own_place_as_the_table_says(world, who):
    most = who == Role.ADMINISTRATOR
    assert wrong_by_session(world, who, {"own"}, most=most) == {}
    assert wrong_by_key(world, who, {"own"}, most=most) == {}


def test_every_address_answers_an_administrator_in_every_place_as_the_table_says(world):
    assert wrong_by_session(world, Role.ADMINISTRATOR, PLACES - {"own"}, most=False) == {}
    assert wrong_by_key(world, Role.ADMINISTRATOR, PLACES - {"own"}, most=False) == {}


ALIKE = ("Content-Type", "Content-Disposition", "Location", "Cache-Control", "ETag", "Allow")  # headers


def answered(client: Client, method: str, address: str) -> tuple[Any, ...]:
    """Return the status and headers, without what is random or of the moment; what it does is rolled back."""
    before = transaction.savepoint()
    response = getattr(client, method.lower())(address)
    if response.streaming:
        b"".join(response)
    transaction.savepoint_rollback(before)
    return response.status_code, *(response.get(name) for name in ALIKE)


def test_every_address_answers_head_like_get_and_does_nothing_more(world):
    person = world.person(Role.ADMINISTRATOR, world.acme)
    things = {**world.account_of(person), **world.targets["an environment"].arguments}
    others = {}
    for client in (logged_in_client(person), logged_in_client(world.root), Client()):
        for view in routes():
            address = address_of(view, things, "acme")
            by_get, by_head = (answered(client, method, address) for method in ("GET", "HEAD"))
            if by_get != by_head:
                others[view] = (by_get, by_head)
    assert others == {}


# -- What is about nobody but its visitor ---------------------------------------------------------


def own_forms(things: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "accounts:change-email": {"email": "another@example.test"},
        "accounts:change-password": {"password": "Another-Horse-9", "again": "Another-Horse-9"},
        "accounts:end-session": {"session": things["session"]},
        "accounts:profile": {"name": "Renamed", "language": "en", "time_zone": "Europe/Amsterdam"},
        "accounts:remove-factor": {"device": things["device"]},
        "accounts:rename-factor": {"device": things["device"], "name": "Renamed"},
        "accounts:reset-password": {"email": "somebody@example.test"},
        "accounts:unlink-identity": {"identity": things["identity"]},
        "agencies:roots": {"name": "Top", "kind": "market"},
        "environments:api-keys": {"name": "further", "lasts": "30"},
        "environments:join": {"email": "somebody@example.test"},
        "set_language": {"language": "nl"},
    }


def wrong_answers_about_oneself(
    visitor: Visitor, lines: dict[str, Own], things: dict[str, Any], *, most: bool
) -> dict[str, str]:
    forms, found = own_forms(things), {}
    for view, line in lines.items():
        address = address_of(view, things, "acme")
        for method in METHODS:
            fit = {"GET": line.get, "HEAD": line.get, "POST": line.post}.get(method, line.more.get(method, 405))
            if not most and (fit == 405 or method == "HEAD"):
                continue
            status = visitor.send(method, address, forms.get(view, {}))
            status = 302 if view in OPEN and isinstance(status, str) else status
            if status != fit:
                found[f"{method} {view}"] = f"{status} rather than {fit}"
    return found


def refused(line: Own) -> Own:
    """Return the line of somebody who is no super user: 403 for each method that the address takes."""
    return Own(*(405 if status == 405 else 403 for status in (line.get, line.post)))


@pytest.mark.parametrize("most", [False, pytest.param(True, marks=pytest.mark.faults)])
@pytest.mark.parametrize("who", WHO)
def test_every_address_of_one_s_own_answers_every_role_as_the_table_says(world, who, most):
    person = world.person(who, world.acme)
    things = world.account_of(person)
    lines = {**OWN, **OPEN, **FOR_SUPER_USERS}
    if who != SUPER_USER:
        lines |= {view: refused(line) for view, line in FOR_SUPER_USERS.items()}
        lines |= WITHOUT_KEYS if Permission.USE_API_KEYS not in ROLES[Role(who)] else {}
    visitor, most = Visitor(logged_in_client(person)), most or who == Role.ADMINISTRATOR
    assert wrong_answers_about_oneself(visitor, lines, things, most=most) == {}


def test_no_address_of_one_s_own_finds_what_is_another_s(world):
    vic, ada = world.person(Role.MEMBER, world.acme), world.person(Role.ADMINISTRATOR, world.acme)
    of_vic, of_ada = world.account_of(vic), world.account_of(ada)
    visitor, forms = Visitor(logged_in_client(ada)), own_forms(of_vic)
    for view, status in OF_OTHERS.items():
        assert visitor.send("POST", address_of(view, of_vic, "acme"), forms.get(view, {})) == status
        assert visitor.send("POST", address_of(view, of_ada, "acme"), own_forms(of_ada).get(view, {})) == 302


def test_visitors_who_have_not_logged_in_get_nothing_but_what_is_open(world):
    visitor, things = Visitor(Client()), world.account_of(world.root)
    of_acme = {**things, **world.targets["an environment"].arguments}
    for view in {**OF_ORGANISATIONS, **OWN, **FOR_SUPER_USERS}:
        address = address_of(view, of_acme, "acme")
        for method in METHODS:
            status = visitor.send(method, address, {})
            is_away = status == 401 if address.startswith("/api/") else str(status).startswith("/login/")
            assert is_away, (method, view, status)
