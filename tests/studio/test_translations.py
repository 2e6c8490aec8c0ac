"""The catalogues: every text of the source has a translation, with the same blanks to fill in."""

import re
from datetime import UTC, datetime

import pytest
from babel.messages.catalog import Message
from django.utils import translation
from django.utils.translation import trans_real

from studio import translations
from studio.templatetags.studio import when

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|</?\w+[^>]*>")
NUMBER = {"%(n)s", "%(count)s", "%(days)s", "%(minutes)s", "%(number)s"}  # a singular may say it in a word


@pytest.fixture(scope="module", params=translations.catalogues(), ids=lambda path: path.parent.parent.name)
def catalog(request):
    return translations.read_catalogue(request.param)


def forms(message: Message) -> list[tuple[str, str]]:
    """Pair each form of the text with its translation."""
    if not isinstance(message.id, tuple):
        return [(message.id, str(message.string))]
    return list(zip(message.id, message.string, strict=True))


def test_there_is_a_dutch_catalogue():
    assert "nl" in {path.parent.parent.name for path in translations.catalogues()}


def test_every_text_of_the_source_is_translated():
    assert list(translations.missing_translations()) == []


def test_nothing_is_fuzzy_or_empty(catalog):
    assert not catalog.obsolete
    for message in catalog:
        if message.id:
            assert not message.fuzzy, message.id
            assert all(translations.as_list(message.string)), message.id


def test_placeholders_and_markup_are_those_of_the_source(catalog):
    for message in catalog:
        for number, (text, translated) in enumerate(forms(message) if message.id else []):
            wanted, found = sorted(PLACEHOLDER.findall(text)), sorted(PLACEHOLDER.findall(translated))
            if number == 0 and len(forms(message)) > 1:
                wanted, found = sorted(set(wanted) - NUMBER), sorted(set(found) - NUMBER)
            assert wanted == found, text


def test_the_space_around_a_text_is_kept(catalog):
    for message in catalog:
        for text, translated in forms(message) if message.id else []:
            assert text[: len(text) - len(text.lstrip())] == translated[: len(translated) - len(translated.lstrip())]
            assert text[len(text.rstrip()) :] == translated[len(translated.rstrip()) :]


def test_they_compile(catalog, tmp_path, monkeypatch):
    folder = tmp_path / str(catalog.locale) / "LC_MESSAGES"
    folder.mkdir(parents=True)
    source = translations.LOCALES / str(catalog.locale) / "LC_MESSAGES" / "django.po"
    (folder / "django.po").write_bytes(source.read_bytes())
    monkeypatch.setattr(translations, "LOCALES", tmp_path)
    assert translations.compile_catalogues() == 1
    assert (folder / "django.mo").stat().st_size > 0
    assert translations.compile_catalogues() == 0


def test_dutch_months_are_written_small(monkeypatch):
    at = datetime(2026, 3, 5, 9, 30, tzinfo=UTC)
    translations.compile_catalogues()
    monkeypatch.setattr(trans_real, "_translations", {})  # read anew, also what was not compiled when first asked
    for language, day in {"en": "5 Mar 2026", "nl": "5 mrt 2026"}.items():
        with translation.override(language):
            assert f">{day}</time>" in when(at, "date")


def test_dutch_has_one_word_for_one_thing(catalog):
    """Inloggen, auditlog, bewaarregister, meervoudige verificatie."""
    others = re.compile(
        r"\baan(ge)?meld|\bmeld(t|en)? u\b.*\baan\b|auditlogboek|bewaarlogboek|grootboek|multifactor", re.IGNORECASE
    )
    found = [text for message in catalog if message.id for _source, text in forms(message) if others.search(text)]
    assert found == []
