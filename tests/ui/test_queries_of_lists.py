"""What every list costs with its frame: the same number of queries for 1 and 50 rows, at most ten."""

import pytest
from django.utils import timezone

from tests import factories
from tests.logging_in import logged_in_client
from tests.queries import count_queries
from tests.ui.full_lists import fill_lists

pytestmark = pytest.mark.django_db
MOST = 10
MORE = {  # above the bar, and not to grow
    "/profile/security/": 15,  # no list, but eight short ones
}
LISTS = [
    *(
        "/acme/members/",
        "/acme/members/links/",
        "/acme/members/invite/",
        "/acme/access-requests/",
        "/acme/api-keys/",
        "/acme/providers/",
        "/acme/settings/",
        "/acme/audit/",
    ),
    *("/acme/conversations/", "/acme/contacts/", "/acme/organisation/", "/acme/compliance/"),
    *("/acme/retention/", "/acme/retention/?only=rows", "/acme/retention/holds/", "/acme/retention/erased/"),
    *("/acme/exports/", "/noorderlicht/exports/", "/acme/exports/{export.uuid}/"),
    *(
        "/noorderlicht/members/",
        "/noorderlicht/access-requests/",
        "/noorderlicht/organisation/",
        "/noorderlicht/retention/",
        "/noorderlicht/compliance/",
    ),
    *("/noorderlicht/users/", "/noorderlicht/users/?mfa=without&sort=place", "/noorderlicht/users/{ada.pk}/"),
    *("/acme/settings/advanced/", "/noorderlicht/settings/advanced/"),
    *(
        "/noorderlicht/environments/",
        "/noorderlicht/organisation/new/",
        "/noorderlicht/organisation/new/list/",
        "/noorderlicht/templates/",
        "/noorderlicht/templates/{template.pk}/",
        "/noorderlicht/usage/",
        "/acme/usage/",
        "/pending-changes/",
    ),
    *("/profile/", "/noorderlicht/environments/changes/{bulk_changes[done].uuid}/"),
    *("/organisations/", "/profile/api-keys/", "/profile/security/", "/noorderlicht/retention/runs/{run.pk}/"),
]


@pytest.mark.parametrize("rows", [1, 50])
def test_every_list_costs_as_few_queries_for_one_row_as_for_fifty(rows, time_machine):
    time_machine.move_to(timezone.now(), tick=False)  # once a minute, a request writes when its session was last seen
    made = fill_lists(now=timezone.now(), rows=rows)
    client, root = logged_in_client(made.ada), logged_in_client(factories.UserFactory(is_superuser=True))
    costs = {path: cost_of(client, path.format_map(vars(made))) for path in LISTS}
    costs |= {path: cost_of(root, path) for path in ("/sign-in/slowed/", "/audit/", "/organisations/top/")}

    assert {path: cost for path, cost in costs.items() if cost > MORE.get(path, MOST)} == {}


def cost_of(client, path: str) -> int:
    def open_page() -> None:
        assert client.get(path).status_code == 200

    return count_queries(open_page)
