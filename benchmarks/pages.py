"""Measure requests for the list of an environment's conversations, and for one conversation, among 300 environments."""

import logging

from django.test import Client

from accounts.models import User
from benchmarks import ground
from benchmarks.measure import Measured, Watch, run_in_turn
from benchmarks.rows import NIGHT, Plan, create_environments, set_limit, store_conversations
from conversations.models import Conversation
from environments.caller import SYSTEM
from environments.memberships import grant_membership
from environments.models import Organisation

ENVIRONMENTS, CONVERSATIONS, LARGE, MESSAGES = 300, 40, 20_000, 25  # LARGE: conversations of the environment shown
TIMES, SECONDS = 60, 0.1


def run() -> list[Measured]:
    environments = create_environments(ENVIRONMENTS, "pages")
    shown = environments[ENVIRONMENTS // 2]
    set_limit(shown, 3650)
    plans = [Plan(each.pk, LARGE if each == shown else CONVERSATIONS, oldest=90, span=90) for each in environments]
    store_conversations(plans, messages=MESSAGES)
    ground.keep_copy("pages")
    ground.restore_copy("pages")
    ground.drop_copy("pages")
    visitor = Client(SERVER_NAME="localhost")
    visitor.force_login(member_of(shown))
    conversation = Conversation.objects.filter(environment=shown, created_at__lt=NIGHT).latest("pk")
    address = f"/{shown.slug}/conversations/"
    logging.disable()  # a line for each request
    listed, read = Page(visitor, address), Page(visitor, f"{address}{conversation.uuid}/")
    run_in_turn(TIMES, listed, read)
    logging.disable(logging.NOTSET)
    among = f"of {LARGE:,} in one of {ENVIRONMENTS} environments"
    return [
        Measured(f"the list of conversations {among}", "100 ms", listed.median, SECONDS, 1, ground=ground.sizes()),
        Measured(f"the page of a conversation {among}", "100 ms", read.median, SECONDS, 1),
    ]


class Page(Watch):
    """The duration of each request for one address, after a first one."""

    def __init__(self, visitor: Client, address: str) -> None:
        super().__init__()
        self.visitor, self.address = visitor, address
        self.request()

    def request(self) -> None:
        assert self.visitor.get(self.address).status_code == 200

    def __call__(self) -> None:
        with self.running():
            self.request()


def member_of(environment: Organisation) -> User:
    user = User.objects.create_user("pages@bench.example", "Bench-Horse-9")
    grant_membership(user, environment, roles=["administrator"], by=SYSTEM)
    return user
