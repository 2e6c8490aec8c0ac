"""The sweep names what has no counterpart, and touches nothing that is not a plain file of the storage."""

import os
from datetime import timedelta
from io import BytesIO, TextIOWrapper

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone

from archival.files.sweep import sweep_storage
from audit.models import Event
from conversations.models import Blob
from tests.factories import environment

pytestmark = pytest.mark.django_db
OLD = timedelta(hours=25)


def age(path):
    then = (timezone.now() - OLD).timestamp()
    os.utime(path, (then, then))


def test_the_sweep_follows_no_link_and_deletes_nothing_behind_one(own_storage, tmp_path):
    now, acme = timezone.now(), environment()
    key = default_storage.save(f"{acme.pk}/known", ContentFile(b"bytes"))
    Blob.objects.create(environment=acme, sha256=key, key=key, size=5, created_at=now - OLD)
    foreign = tmp_path / "foreign"
    foreign.write_text("of somebody else")
    for path in (own_storage / key, foreign):
        age(path)
    (own_storage / "another-name").symlink_to(own_storage / str(acme.pk))
    (own_storage / "outside").symlink_to(tmp_path)
    (own_storage / "round").symlink_to(own_storage)
    (own_storage / "nowhere").symlink_to(tmp_path / "gone")

    found = sweep_storage(now=now, delete=True)

    assert (own_storage / key).exists()
    assert foreign.exists()
    assert not [name for name in found.orphans if name.split("/")[0] in {"another-name", "outside", "round", "nowhere"}]


def test_the_sweep_names_each_file_on_one_line_whatever_it_is_called(own_storage):
    for name in (b"not-\xff-utf-8", b"two\nlines", b"\x1b[31mred"):
        path = own_storage / os.fsdecode(name)
        path.touch()
        age(path)
    out = TextIOWrapper(BytesIO(), encoding="utf-8")

    with pytest.raises(SystemExit, match="1"):
        call_command("sweep_blobs", stdout=out)

    out.seek(0)
    told = [line for line in out.read().splitlines() if line.startswith("No row: '")]
    assert told == [r"No row: '\x1b[31mred'", r"No row: 'not-\udcff-utf-8'", r"No row: 'two\nlines'"]


def test_the_command_deletes_orphans_only_when_asked_and_leaves_an_audit_line(own_storage, capsys):
    orphan = own_storage / "orphan"
    orphan.touch()
    age(orphan)

    with pytest.raises(SystemExit, match="1"):
        call_command("sweep_blobs")
    found = capsys.readouterr().out.count("No row: ")
    assert orphan.exists()
    assert not Event.objects.filter(action="blobs.swept").exists()

    call_command("sweep_blobs", "--delete")
    assert not orphan.exists()
    assert Event.objects.get(action="blobs.swept").after == {"deleted": found}
    assert f"Files without a row: {found} ({found} deleted)" in capsys.readouterr().out


def test_the_sweep_of_beat_takes_no_heap_of_files_that_come_of_another_database(own_storage):
    names = [f"7/{number:032x}" for number in range(150)]
    for name in names:
        age(default_storage.path(default_storage.save(name, ContentFile(b"x"))))

    found = sweep_storage(now=timezone.now(), delete=True, ours_alone=True)
    assert (len(found.orphans), found.deleted) == (150, 0)
    assert all(default_storage.exists(name) for name in names)

    for name in names[60:]:  # as many as crashes leave
        default_storage.delete(name)
    assert sweep_storage(now=timezone.now(), delete=True, ours_alone=True).deleted == 60
