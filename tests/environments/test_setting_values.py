"""The values of the two settings: what can be made at all, what is stricter, and what holds at the end of a chain."""

import json
from dataclasses import FrozenInstanceError

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from environments.choices import LONGEST_LIMIT_DAYS, Archival, MfaSetting
from environments.models import Organisation
from environments.policies import mfa, retention
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention

days = st.integers(1, LONGEST_LIMIT_DAYS)
limits = st.builds(Retention.limit, days, locked=st.booleans())
retentions = st.one_of(st.builds(Retention.inherit), st.builds(Retention.keep), limits)
rules = st.one_of(st.builds(MfaRule.inherit), st.builds(MfaRule.off), st.builds(MfaRule.on, locked=st.booleans()))
values = st.one_of(retentions, rules)
lists = st.one_of(st.lists(retentions, max_size=6), st.lists(rules, max_size=6))
anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3))


@given(archival=st.one_of(st.sampled_from(Archival.values), anything), days=anything, locked=st.booleans())
def test_a_retention_is_refused_exactly_where_its_parts_do_not_go_together(archival, days, locked):
    is_number = isinstance(days, int) and not isinstance(days, bool) and 1 <= days <= LONGEST_LIMIT_DAYS
    fits = is_number if archival == "limit" else archival in ("inherit", "keep") and days is None and not locked
    if fits:
        assert Retention(archival, days, locked).as_json() == {
            "archival": archival, "archive_after_days": days, "locked": locked
        }  # fmt: skip
    else:
        with pytest.raises(ValidationError):
            Retention(archival, days, locked)


@given(value=st.one_of(st.sampled_from(MfaSetting.values), anything), locked=st.booleans())
def test_a_rule_is_refused_exactly_where_its_parts_do_not_go_together(value, locked):
    if value == "on" or (value in ("inherit", "off") and not locked):
        assert MfaRule(value, locked).as_json() == {"require_mfa": value, "locked": locked}
    else:
        with pytest.raises(ValidationError):
            MfaRule(value, locked)


@given(value=values)
def test_a_value_never_changes_and_is_written_and_read_whole(value):
    organisation = Organisation()
    value.write_to(organisation)
    assert type(value).of(organisation) == value
    assert json.loads(json.dumps(value.as_json())) == value.as_json()
    with pytest.raises(FrozenInstanceError):
        value.locked = True


@given(pair=st.one_of(st.tuples(retentions, retentions), st.tuples(rules, rules)))
def test_only_what_can_be_locked_takes_the_lock_of_another(pair):
    value, own = pair
    with_lock = value.with_lock_of(own)
    assert with_lock.strictness == value.strictness
    assert with_lock.locked == (own.locked and value.as_json() != type(value).inherit().as_json() and can_lock(value))


def can_lock(value):
    return value == MfaRule.on(locked=value.locked) if isinstance(value, MfaRule) else value.days is not None


@given(some=lists.filter(bool))
def test_the_strictest_is_one_of_them_that_none_surpasses_in_whichever_order_they_stand(some):
    strictest = type(some[0]).strictest(some)
    assert strictest in some
    assert all(strictest.strictness <= each.strictness for each in some)
    assert type(some[0]).strictest(reversed(some)).strictness == strictest.strictness
    assert type(some[0]).strictest([strictest, *some]) == strictest


def test_the_strictest_of_none_is_to_inherit():
    assert (Retention.strictest([]), MfaRule.strictest([])) == (Retention.inherit(), MfaRule.inherit())


def test_a_shorter_limit_is_stricter_than_a_longer_one_and_that_than_to_keep():
    assert Retention.strictest([Retention.keep(), Retention.limit(90), Retention.limit(30)]) == Retention.limit(30)
    assert Retention.strictest([Retention.inherit(), Retention.keep()]) == Retention.keep()
    assert MfaRule.strictest([MfaRule.inherit(), MfaRule.off(), MfaRule.on()]) == MfaRule.on()


@given(chain=st.lists(retentions, max_size=6))
def test_the_nearest_limit_holds_bounded_by_every_lock_above(chain):
    nearest = next((each.days for each in reversed(chain) if each.archival != "inherit"), None)
    bounds = [each.days for each in chain if each.locked]
    if nearest is not None:
        bounds.append(nearest)
    assert Retention.resolve(chain) == (Retention.limit(min(bounds)) if bounds else Retention.keep())


@given(chain=st.lists(rules, max_size=6))
def test_the_nearest_rule_holds_unless_a_lock_above_keeps_it_on(chain):
    nearest = next((each.value for each in reversed(chain) if each.value != "inherit"), "off")
    assert MfaRule.resolve(chain).is_on == (nearest == "on" or any(each.locked for each in chain))


@pytest.mark.parametrize(("setting", "value"), [(mfa, MfaRule.inherit()), (retention, Retention.inherit())])
def test_the_columns_of_a_setting_are_what_its_value_writes(setting, value):
    organisation = Organisation()
    before = vars(organisation).copy()
    for name in setting.COLUMNS:
        setattr(organisation, name, object())
    value.write_to(organisation)
    assert vars(organisation) == before
