"""Compile, update and check the catalogues of translations with Babel; needs no gettext of the system.

``python -m studio.translations`` compiles; ``--update`` adds new texts of the source to the catalogues; ``--check``
returns 1 and lists every text that has no translation, a fuzzy one, or one with errors.
"""

import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LOCALES = ROOT / "locale"
ROOMS = ("studio", "agencies", "archival", "conversations", "environments", "accounts", "audit", "web")
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop"), None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}


def catalogues() -> list[Path]:
    return sorted(LOCALES.glob("*/LC_MESSAGES/django.po"))


def compile_catalogues() -> int:
    """Write the ``.mo`` file of every catalogue that is newer than it; returns how many."""
    stale = [path for path in catalogues() if not is_compiled(path)]
    for path in stale:
        unfinished = path.with_suffix(".mo.new")
        with unfinished.open("wb") as file:
            write_mo(file, read_catalogue(path))
        unfinished.rename(path.with_suffix(".mo"))
    return len(stale)


def is_compiled(path: Path) -> bool:
    compiled = path.with_suffix(".mo")
    return compiled.exists() and compiled.stat().st_mtime >= path.stat().st_mtime


def read_catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def sources() -> Iterator[tuple[str, bytes]]:
    """Yield the name and Python source of every file with texts; templates become Python by ``templatize``."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_bytes()
    for path in sorted((ROOT / "templates").rglob("*")):
        if path.suffix in {".html", ".txt"}:
            python = templatize(path.read_text(), origin=str(path))
            lines = (line.strip() for line in python.splitlines())  # indentation of templates is not Python's
            yield str(path.relative_to(ROOT)), "\n".join(lines).encode()


def texts_in_source() -> Catalog:
    """Return every text of the source to translate."""
    catalog = Catalog(project="Studio", charset="utf-8")
    for name, python in sources():
        for line, message, comments, context in extract("python", BytesIO(python), KEYWORDS, ("Translators:",)):
            catalog.add(message, locations=[(name, line)], auto_comments=comments, context=context)
    return catalog


def update_catalogues() -> None:
    """Add new texts of the source to every catalogue, and remove texts that are gone."""
    template = texts_in_source()
    for path in catalogues():
        catalog = read_catalogue(path)
        catalog.update(template, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, catalog, width=110, include_lineno=False, sort_output=True, omit_header=False)


def missing_translations() -> Iterator[str]:
    """Yield a line for every text without a translation, with a fuzzy one, or with errors."""
    template = texts_in_source()
    for path in catalogues():
        catalog, name = read_catalogue(path), path.relative_to(ROOT)
        for message in template:
            if not message.id:
                continue
            translated = catalog.get(message.id, message.context)
            strings = [] if translated is None else as_list(translated.string)
            if not strings or not all(strings):
                yield f"{name}: no translation of {message.id!r}"
            elif translated is not None and translated.fuzzy:
                yield f"{name}: still fuzzy: {message.id!r}"
            elif translated is not None and (errors := list(translated.check(catalog))):
                yield f"{name}: {errors[0]}: {message.id!r}"


def as_list(string: object) -> list[str]:
    return list(string) if isinstance(string, (list, tuple)) else [str(string or "")]


def main(arguments: list[str]) -> int:
    if "--update" in arguments:
        update_catalogues()
    elif "--check" in arguments:
        lines = list(missing_translations())
        sys.stderr.writelines(f"{line}\n" for line in lines)
        return 1 if lines else 0
    else:
        compile_catalogues()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
