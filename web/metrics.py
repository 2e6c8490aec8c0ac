"""Metrics of the outbox and of background processes."""

from collections.abc import Iterator
from math import inf

from django.db.models import Count, Min
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from web.choices import DeliveryState
from web.clock import database_now, is_ahead
from web.heartbeats import ALIVE_FOR, PROCESSES
from web.models import Delivery, Heartbeat


class Deliveries(Collector):
    """Metrics of the outbox. Two queries."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield how many mails wait, the age of the oldest, and how many were refused in the last 30 days."""
        now = database_now()
        found = Delivery.objects.waiting().aggregate(count=Count("pk"), oldest=Min("queued_at"))
        refused = Delivery.objects.filter(state=DeliveryState.REFUSED).count()
        age = (now - found["oldest"]).total_seconds() if found["oldest"] else 0
        name = "studio_deliveries"
        yield GaugeMetricFamily(f"{name}_waiting", "Mails that have not left yet", value=found["count"])
        yield GaugeMetricFamily(f"{name}_oldest_waiting_seconds", "How long the oldest of them has waited", value=age)
        yield GaugeMetricFamily(f"{name}_refused", "Mails refused for good within 30 days", value=refused)


class Processes(Collector):
    """Metrics of heartbeats. Two queries."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the age of the latest heartbeat of each kind of process; infinite if none, or one in the future."""
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
