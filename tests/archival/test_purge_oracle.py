"""Random data, purged, against the naive oracle: exact equality of all that is left and all that is counted."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archival.engine.run import Limits
from tests.archival.plans import EVERY_EDGE, TIGHT, check_purge, edges, limits, tenant, zones


@given(tenants=st.lists(tenant, max_size=3), limits=limits, zone=zones)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_purge_leaves_and_counts_exactly_what_the_oracle_says(db, tenants, limits, zone):
    check_purge(tenants, limits, zone)


@pytest.mark.parametrize("limits", [TIGHT, Limits()])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Amsterdam"])
def test_every_edge_is_as_the_oracle_says(db, limits, zone):
    check_purge(EVERY_EDGE, limits, zone)


@pytest.mark.parametrize("days", [1, 100, 365, 3650])
def test_every_edge_of_other_limits_is_as_the_oracle_says(db, days):
    check_purge([edges(days)])
