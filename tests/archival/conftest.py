"""What tests of retention begin with, unless they say otherwise."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils import timezone

from archival.models import PurgeRun
from tests.archival.s3 import S3Server, storages
from tests.factories import NOW, conversation, environment


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def acme(now):
    """Acme, which has a conversation of forty days ago."""
    acme = environment(name="Acme", slug="acme")
    conversation(of=acme, days_ago=40, now=now)
    return acme


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        server = S3Server(tmp_path_factory.mktemp("s3") / "log")
        found = storages(server, patch)
        server.start()
        yield server, found
        server.stop()


@pytest.fixture
def s3(running, settings):
    server, settings.STORAGES = running
    yield server
    server.empty()


@pytest.fixture
def own_storage(settings, tmp_path):
    """Give the test a storage of its own, in which no other test leaves a file without a row; return its folder."""
    folder = tmp_path / "files"
    folder.mkdir()
    own = settings.STORAGES["default"] | {"OPTIONS": {"location": str(folder)}}
    settings.STORAGES = settings.STORAGES | {"default": own}
    return folder


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as threads:
        yield threads


@pytest.fixture
def run():
    return PurgeRun.objects.create(as_of=NOW)
