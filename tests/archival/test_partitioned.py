"""A purge of tables that are partitioned by environment leaves and counts exactly what the oracle says.

Rows of other tenants then have the same ctids, so a statement that forgot the environment would delete those as well.
"""

import pytest
from django.db import IntegrityError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archival.engine import statements
from tests.archival.partitions import PARTITIONS, TABLES, partition_by_environment
from tests.archival.plans import EVERY_EDGE, TIGHT, build, check_purge, edges, limits, tenant
from tests.archival.test_mutants import break_

TENANTS = [*EVERY_EDGE, edges(1), edges(100)]


@pytest.fixture
def partitioned(db):
    partition_by_environment()


@given(tenants=st.lists(tenant, min_size=2, max_size=4), limits=limits)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_purge_of_partitions_leaves_and_counts_exactly_what_the_oracle_says(partitioned, tenants, limits):
    check_purge(tenants, limits)


def test_every_edge_in_partitions_is_as_the_oracle_says(partitioned):
    check_purge(TENANTS)


def test_the_rows_of_other_tenants_have_the_same_ctids(partitioned):
    build(TENANTS)
    for table in TABLES:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(DISTINCT tableoid), count(*) > count(DISTINCT ctid) FROM {table}")
            partitions, are_shared = cursor.fetchone()
        assert 1 < partitions <= PARTITIONS
        assert are_shared


def test_a_purge_that_goes_by_ctid_alone_is_found(partitioned, monkeypatch):
    break_(monkeypatch, statements, "i.environment_id = x.environment_id AND ", "")

    with pytest.raises((AssertionError, IntegrityError)):
        check_purge(TENANTS, TIGHT)
