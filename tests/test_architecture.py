"""The house as a whole: which room may know which, and that nothing is forgotten."""

import ast
import pkgutil
import re
from inspect import signature
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command, get_commands
from django.urls import URLPattern, URLResolver, get_resolver

from environments.slugs import RESERVED_SLUGS
from studio.celery import app

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["devserver", "studio", "agencies", "archival", "conversations", "environments", "accounts", "audit", "web"]
FIRST_SEGMENT = re.compile(r"[a-z0-9-]+")
DOTTED = re.compile(rf"({'|'.join(ROOMS)})(\.\w+)+(?<!_)")  # what ends in "_" is the start of several names
LOOKS_AT_ONCE = re.compile(r"\.is_visible\(\)|locator\(.*\)\.count\(\)")


def first_segments(resolver: URLResolver, prefix: str = "") -> set[str]:
    """Return the fixed first segment of every address."""
    found = set()
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern).lstrip("^")
        if "/" in route or isinstance(entry, URLPattern):
            found.add(route.split("/")[0])
        else:
            found |= first_segments(entry, route)
    return {segment for segment in found if FIRST_SEGMENT.fullmatch(segment)}


def test_no_organisation_can_take_the_address_of_a_page():
    segments = first_segments(get_resolver())
    assert {"login", "api", "organisations", "invitation"} <= segments
    assert segments - RESERVED_SLUGS == set()


def test_foreign_keys_run_down_the_rooms():
    upward = [
        f"{model._meta.label}.{field.name} -> {field.related_model._meta.label}"
        for model in apps.get_models()
        if model._meta.app_label in ROOMS
        for field in model._meta.get_fields()
        if field.concrete and field.is_relation and field.related_model._meta.app_label in ROOMS
        if ROOMS.index(field.related_model._meta.app_label) < ROOMS.index(model._meta.app_label)
    ]
    assert upward == []


def test_the_audit_record_has_no_foreign_keys():
    relations = [field.name for field in apps.get_model("audit.Event")._meta.get_fields() if field.is_relation]
    assert relations == []


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_every_command_is_in_the_readme():
    ours = {name for name, app in get_commands().items() if app in ROOMS}
    readme = (ROOT / "README.md").read_text()
    assert {name for name in ours if name not in readme} == set()


def test_beat_starts_every_task_that_needs_no_argument():
    app.loader.import_default_modules()
    ours = {
        name for name, task in app.tasks.items() if name.split(".")[0] in ROOMS and not signature(task.run).parameters
    }
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} == ours


def test_no_browser_test_looks_before_the_page_has_arrived():
    """A click returns when the answer begins to arrive; ``expect(…)`` waits for what is asked of it."""
    looks = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "tests").rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if LOOKS_AT_ONCE.search(line) and path != Path(__file__)
    ]
    assert looks == []


def dotted_strings() -> dict[str, set[str]]:
    """Return the strings that name something of ours by its dotted path, each with the files that have it.

    All of the settings and of gunicorn's; elsewhere those of three parts or more, since two parts are also labels of
    models, names of loggers and audit actions. The ``source`` of a serializer's field is a path of attributes.
    """
    found: dict[str, set[str]] = {}
    for path in [*(ROOT / room for room in ROOMS), ROOT / "gunicorn.conf.py"]:
        for file in [path] if path.is_file() else path.rglob("*.py"):
            whole = file.name in {"settings.py", "gunicorn.conf.py"}
            tree = ast.parse(file.read_text())
            fields = {
                id(each.value) for each in ast.walk(tree) if isinstance(each, ast.keyword) and each.arg == "source"
            }
            for node in (each for each in ast.walk(tree) if id(each) not in fields):
                text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
                if DOTTED.fullmatch(text) and (whole or text.count(".") > 1) and "migrations" not in file.parts:
                    found.setdefault(text, set()).add(str(file.relative_to(ROOT)))
    return found


def names_something(dotted: str) -> bool:
    if dotted in app.tasks or dotted in {model._meta.label for model in apps.get_models()}:
        return True
    try:
        pkgutil.resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


# Where GET alone is meant: a HEAD is no visit, and takes nothing that was kept.
GET_ALONE = {"accounts/interrupted.py", "studio/middleware.py", "web/methods.py"}
LEAVES_OUT_HEAD = re.compile(r"require_GET|require_http_methods|method [=!]= .GET\b")


def test_no_view_takes_get_without_head():
    sources = {str(path.relative_to(ROOT)): path for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    found = {name for name, path in sources.items() if LEAVES_OUT_HEAD.search(path.read_text())}
    assert found == GET_ALONE


def test_every_string_that_names_our_code_names_code_that_is_there():
    app.loader.import_default_modules()
    strings = dotted_strings()
    assert {"archival.tasks.delete_organisation", "environments.policies.resolve.mfa_required"} <= strings.keys()
    assert {dotted: files for dotted, files in strings.items() if not names_something(dotted)} == {}
