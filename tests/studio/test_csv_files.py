"""Every CSV that Studio writes begins with the mark that spreadsheets want, and none holds a formula."""

import csv
import io
import zipfile

import pytest
from django.utils import timezone

from archival.engine.run import purge
from conversations.ingest.lines import check_conversation
from conversations.ingest.services import store
from conversations.models import Contact
from environments.models import Organisation
from tests.conversations.lines import line
from tests.factories import environment, member
from tests.logging_in import log_in

FORMULA = "x;=cmd|' /C calc'!A0"


def receipts(client) -> bytes:
    return b"".join(client.get("/acme/retention/receipts.csv").streaming_content)


def audit_log(client) -> bytes:
    return b"".join(client.get("/acme/audit/export/").streaming_content)


def messages(client) -> bytes:
    answer = client.get(f"/acme/contacts/{Contact.objects.get().uuid}/export/")
    return zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))).read("messages.csv")


@pytest.mark.django_db
@pytest.mark.parametrize("file_of", [receipts, audit_log, messages])
def test_a_file_begins_with_the_mark_and_holds_no_formula(client, file_of):
    acme = environment(slug="acme")
    ada = member(acme, name=FORMULA, email="ada@acme.test")
    Organisation.objects.filter(pk=acme.pk).update(name=FORMULA)
    purge(now=timezone.now())
    store(acme, [check_conversation(line("a", texts=(FORMULA, "two\n=1+1")))], now=timezone.now())
    log_in(client, ada)
    client.post("/acme/members/", {"email": "ivy@acme.test", "roles": ["member"]})
    content = file_of(client)
    assert content.startswith(b"\xef\xbb\xbf")
    assert b"cmd" in content
    for separator in ",;\t":
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=separator)
        assert not [cell for row in rows for cell in row if cell.lstrip(' "').startswith(("=", "+", "-", "@"))]
