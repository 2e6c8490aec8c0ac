"""What monitoring reads of the processes that work in the background."""

from collections.abc import Iterator
from math import inf

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from web.clock import database_now, is_ahead
from web.heartbeats import ALIVE_FOR, PROCESSES
from web.models import Heartbeat


class Processes(Collector):
    """Heartbeats of worker and beat: two queries."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield for each kind of process how old its latest heartbeat is, without one or with a future one endless."""
        age = GaugeMetricFamily("studio_heartbeat_age_seconds", "Time since the last sign of life", labels=["process"])
        alive = GaugeMetricFamily("studio_alive", "Machines with a heartbeat in two minutes", labels=["process"])
        ahead = GaugeMetricFamily(
            "studio_clock_ahead_seconds", "The clock that is farthest from the database's", labels=["process"]
        )
        now, heartbeats = database_now(), list(Heartbeat.objects.all())
        for process in PROCESSES:
            mine = [each for each in heartbeats if each.process == process and not is_ahead(each.at, now=now)]
            living = [each for each in mine if each.at > now - ALIVE_FOR]
            age.add_metric([process], min(((now - each.at).total_seconds() for each in mine), default=inf))
            alive.add_metric([process], len(living))
            ahead.add_metric([process], max((each.clock_ahead_seconds for each in living), key=abs, default=0))
        yield from (age, alive, ahead)
