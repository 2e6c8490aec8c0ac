"""Append one message to conversations of 100 messages in 300 environments, against a bare INSERT of the same row."""

import random
from datetime import datetime

from django.db import connection
from django.utils import timezone

from benchmarks import ground
from benchmarks.measure import Measured, Watch, run_in_turn
from benchmarks.rows import Plan, create_environments, store_conversations
from conversations.ingest.append import append
from conversations.ingest.lines import NewMessage
from conversations.models import Conversation

ENVIRONMENTS, CONVERSATIONS, MESSAGES = 300, 20, 100  # conversations of each environment, messages of each conversation
TIMES, BAR = 500, 4
TEXT = "word " * 12
INSERT = """INSERT INTO conversations_message (conversation_id, environment_id, seq, role, author, text, sent_at)
  VALUES (%s, %s, %s, 'user', '', %s, %s)"""


def run() -> list[Measured]:
    environments = create_environments(ENVIRONMENTS, "append")
    plans = [Plan(each.pk, CONVERSATIONS, oldest=10, span=9) for each in environments]
    store_conversations(plans, messages=MESSAGES, now=timezone.now())
    ground.keep_copy("append")
    ground.restore_copy("append")
    ground.drop_copy("append")
    conversations = list(Conversation.objects.select_related("environment", "contact"))
    random.Random(4711).shuffle(conversations)
    ours, other = Watch(), Watch()
    appended_to, inserted_into = iter(conversations[:TIMES]), iter(conversations[TIMES:])

    def append_one() -> None:
        conversation, now = next(appended_to), timezone.now()
        with ours.running():
            append(conversation, messages=[NewMessage("user", TEXT)], now=now)

    def insert_one() -> None:
        conversation, now = next(inserted_into), timezone.now()
        with other.running():
            insert(conversation, now)

    run_in_turn(TIMES, append_one, insert_one)
    scenario = f"a message to a conversation of {MESSAGES} messages, {ENVIRONMENTS} environments"
    note = f"{ours.median * 1000:.2f} and {other.median * 1000:.2f} ms"
    other_way = "a bare INSERT of the same row"
    return [Measured(scenario, other_way, ours.median, other.median, BAR, note, ground=ground.sizes())]


def insert(conversation: Conversation, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [conversation.pk, conversation.environment_id, MESSAGES, TEXT, now])
