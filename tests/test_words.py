"""Words and templates as docs/style.md wants them: what a machine can hold. A room joins when it has been read."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("accounts", "agencies", "archival", "audit", "conversations", "devserver", "environments", "studio", "web")
WITHOUT_FORM = {"components/switcher.html"}  # stands in the frame of every page, beside the forms of the page
LONGEST_LINE = 160
ADDRESSES = "environments/slugs.py"  # has "sign-in", the first part of an address that is public
STYLE = "style.md"  # quotes the words to avoid
# They, not he; log in, not sign in; "may" beside another verb at most.
STUMBLES = re.compile(
    r"\b(he|his|him|himself)\b|\bsign(s|ed|ing)?[ -]in\b(?!/)|\bmay (more|what|it|everything)\b|\bmay not\W*$",
    re.IGNORECASE,
)
# Functions whose names say nothing without their file: verbs need an object. Permissions are what people can do.
UNCLEAR_NAMES = re.compile(r"^\s*def (act|check|door|draft|end|found|judge|keys_of|note|rest|tell|told)\(|\bmay_[a-z]+")
# Names of tests become sentences of the documents: people can, pages say, and something happens again.
STUMBLES_OF_TESTS = re.compile(r"def test_(\w+_)?(he|his|him|himself|may|(fore)?told|tells?|anew)(_|\()")
# Hidden fields carry what a page knows already; all that people fill in is rendered by the tag ``field``.
BARE_CONTROL = re.compile(r'<(textarea|select|input(?! type="hidden")(?!.* hidden>))\b')
# Rendered as it is, a number of 1,000 or more has a separator, which no view reads: ``stringformat:"d"`` has none.
PRIMARY_KEY = re.compile(r"{{ *[\w.]+\.pk *}}")


def modules() -> list[Path]:
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return sorted(path for path in found if "migrations" not in path.parts and path != ROOT / ADDRESSES)


def documents() -> list[Path]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in pages if path.name != STYLE]


def templates() -> list[Path]:
    return sorted(path for path in (ROOT / "templates").rglob("*") if path.suffix in {".html", ".txt"})


def lines_with(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]


def test_people_are_they_and_log_in():
    assert lines_with(STUMBLES, [*modules(), *templates(), *documents()]) == []


@pytest.mark.parametrize(
    "line",
    [
        "who may more than his own",
        "He is mailed.",
        "signed in",
        "sign-in",
        "may what you may",
        "for himself",
        "who may everything in Acme",
        "the others may not.",
    ],
)
def test_what_stumbles_is_found(line):
    assert STUMBLES.search(line)


def test_names_need_no_file_to_be_understood():
    assert lines_with(UNCLEAR_NAMES, modules()) == []


@pytest.mark.parametrize(
    "line", ["def note(change: Change) -> None:", "def end(session):", "    def end(self):", '    "may_act": can_act,']
)
def test_an_unclear_name_is_found(line):
    assert UNCLEAR_NAMES.search(line)


def test_names_of_tests_are_plain_sentences():
    assert lines_with(STUMBLES_OF_TESTS, sorted((ROOT / "tests").rglob("test_*.py"))) == []


@pytest.mark.parametrize("name", ["who_may_reset", "a_dead_provider_is_told", "he_resets", "every_worker_asks_anew"])
def test_a_name_of_a_test_that_stumbles_is_found(name):
    assert STUMBLES_OF_TESTS.search(f"def test_{name}():")


def test_no_line_of_a_template_is_too_long_to_read():
    assert lines_with(re.compile(rf".{{{LONGEST_LINE + 1}}}"), templates()) == []


def test_every_control_is_rendered_by_the_tag_field():
    others = [path for path in templates() if str(path.relative_to(ROOT / "templates")) not in WITHOUT_FORM]
    assert lines_with(BARE_CONTROL, others) == []


def test_no_template_writes_a_primary_key_with_separators():
    assert lines_with(PRIMARY_KEY, templates()) == []
