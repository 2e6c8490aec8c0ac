"""What the documents name exists, and the picture in docs/architecture.md is the one that `make lint` checks."""

import ast
import re
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("studio", "agencies", "archival", "conversations", "environments", "accounts", "audit", "web")
FOLDERS = (*ROOMS, "devserver", "benchmarks", "tests", "templates")
NO_SUBJECTS = {"management", "migrations", "models", "static", "templatetags"}
CODE = re.compile(r"`([^`\n]+)`")
# "accounts/gate.py", "accounts/gate.py: OPEN_VIEWS", "archival/holds/"; what has <…> is a pattern, and not looked up.
PLACE = re.compile(r"(?P<path>(\w[\w.-]*/)*\w[\w-]*\.(py|html|toml|css)|(\w[\w.-]*/){2,})(: (?P<name>\w+))?")
DOTTED = re.compile(rf"({'|'.join(ROOMS)})(\.\w+)+")
# A bare name: "agreed_now", "MfaChange", "TOTP_KEYS", "caller_of(request)". Code puts the names of metrics together.
NAME = re.compile(r"(?!studio_)(\w+_\w+|[A-Z]\w*[a-z][A-Z]\w*)(\(.*\))?")


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def is_there(path: str) -> bool:
    """Return whether such a file or folder exists: below the root, tests or templates, or a file of this bare name."""
    if any((ROOT / base / path).exists() for base in ("", "tests", "templates")):
        return True
    return "/" not in path and any(next((ROOT / room).rglob(path), None) for room in FOLDERS)


def defined_in(source: str) -> set[str]:
    """Return the names of functions, classes and variables at the top of a module."""
    names = set()
    for statement in ast.parse(source).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
    return names


def resolves(dotted: str) -> bool:
    try:
        resolve_name(dotted)
    except (ImportError, AttributeError):
        return False
    return True


@cache
def words_of_the_code() -> set[str]:
    """Return every word of the code and its tests, and of the names of files."""
    files = [
        path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".html", ".js"}
    ]
    words = {word for path in files if path != Path(__file__) for word in re.findall(r"\w+", path.read_text())}
    return words | {re.sub(r"^\d+_", "", path.stem) for path in files}


def missing(text: str) -> list[str]:
    """Return what a document names in backquotes and the repository does not have."""
    found = []
    for code in CODE.findall(text):
        place = PLACE.fullmatch(code)
        if name := NAME.fullmatch(code):
            is_right = name[1] in words_of_the_code()
        elif place is None:
            is_right = not DOTTED.fullmatch(code) or resolves(code)
        elif place["name"]:
            is_right = is_there(place["path"]) and place["name"] in defined_in((ROOT / place["path"]).read_text())
        else:
            is_right = is_there(place["path"])
        if not is_right:
            found.append(code)
    return found


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_what_a_document_names_exists(document):
    assert missing(document.read_text()) == []


@pytest.mark.parametrize(
    "name",
    [
        "accounts/gates.py",
        "accounts/gate.py: OPEN_VIEW",
        "archival/hold/",
        "gates.py",
        "audit.services.recorded",
        "agreed_then",
        "MfaChanged",
    ],
)
def test_a_name_of_nothing_is_found(name):
    assert missing(f"See `{name}`.") == [name]


def test_every_subject_stands_in_the_table_of_folders():
    subjects = {path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).glob("*/__init__.py")}
    told = (ROOT / "docs" / "architecture.md").read_text()
    assert {str(each) for each in subjects if each.name not in NO_SUBJECTS and f"`{each}/`" not in told} == set()


def layers_checked(room: str) -> dict[str, int]:
    """Return how far down a room's list in pyproject.toml each of its subjects and modules stands."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    own = next(each["layers"] for each in contracts if each.get("containers") == [room])
    return {name: depth for depth, layer in enumerate(own) for name in layer.split(" | ")}


def layers_drawn(room: str) -> list[list[str]]:
    """Return what the picture has below the name of a room, from the top down."""
    picture = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    below = re.search(rf"^  {room}/ .*\n((?:   .*\n)*)", picture, re.MULTILINE)
    drawn = below[1].replace("│", " ").replace(".py", "") if below else ""
    return [[name.strip() for name in layer.split(",")] for layer in drawn.split("›")]


@pytest.mark.parametrize("room", ["archival", "conversations", "environments", "accounts"])
def test_the_picture_has_the_order_that_is_checked(room):
    checked, drawn = layers_checked(room), layers_drawn(room)
    assert len(drawn) > 2
    for above, below in pairwise(drawn):
        assert max(checked[name] for name in above) < min(checked[name] for name in below)
