"""Settings from the environment: what makes no sense stops the start with its name."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from studio import environ


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999", "-1", "a day"])
@pytest.mark.parametrize("read", [environ.number, environ.integer])
def test_a_number_that_cannot_be_meant_is_refused_by_name(monkeypatch, read, value):
    monkeypatch.setenv("COOLING_OFF_HOURS", value)
    with pytest.raises(ImproperlyConfigured, match="COOLING_OFF_HOURS must be a number"):
        read("COOLING_OFF_HOURS", 24)


@pytest.mark.parametrize(("value", "words"), [("", "24"), ("24", "24"), ("24.0", "24"), ("1.5", "1.5")])
def test_a_whole_number_is_shown_as_one(monkeypatch, value, words):
    monkeypatch.setenv("COOLING_OFF_HOURS", value)
    assert str(environ.number("COOLING_OFF_HOURS", 24)) == words


def test_a_fraction_is_a_number_and_no_whole_one(monkeypatch):
    monkeypatch.setenv("COOLING_OFF_HOURS", "1.5")
    assert environ.number("COOLING_OFF_HOURS", 24) == 1.5
    with pytest.raises(ImproperlyConfigured, match="whole"):
        environ.integer("COOLING_OFF_HOURS", 24)
