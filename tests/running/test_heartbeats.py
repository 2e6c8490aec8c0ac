"""Beat keeps no file that could stop it; worker and beat leave heartbeats that health checks and monitoring read."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis
from celery.beat import PersistentScheduler
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from kombu.utils.imports import symbol_by_name
from prometheus_client.parser import text_string_to_metric_families

from studio.celery import app
from tests.archival.celery_processes import celery, database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("beat")]


def wait(condition, *, seconds=60, explain=lambda: ""):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)


def schedule_file(folder, *, cut):
    """Leave the file of a beat that ran with a clock ten days ahead, whole or cut short by a full disk."""
    scheduler = PersistentScheduler(app, schedule_filename=str(folder / "celerybeat-schedule"))
    for entry in scheduler.schedule.values():
        entry.last_run_at = app.now() + timedelta(days=10)
    scheduler.close()
    if cut:
        data = max(folder.glob("celerybeat-schedule*"), key=lambda path: path.stat().st_size)
        os.truncate(data, data.stat().st_size // 2)


@contextmanager
def beat_in(folder):
    ours = {"DATABASE_URL": database_url(), "PURGE_EVERY_SECONDS": "1", "PYTHONPATH": str(settings.ROOT)}
    with (folder / "beat.log").open("w") as log:
        command = [sys.executable, "-m", "celery", "-A", "studio", "beat"]
        process = subprocess.Popen(command, cwd=folder, env=os.environ | ours, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(120)  # a machine with other work takes its time


@pytest.mark.parametrize("is_cut", [False, True])
def test_no_schedule_file_keeps_beat_from_sending_tasks(tmp_path, is_cut):
    schedule_file(tmp_path, cut=is_cut)
    broker = redis.Redis.from_url(settings.REDIS_URL)
    app.control.purge()

    with beat_in(tmp_path) as beat:
        wait(
            lambda: broker.llen("celery") > 0 or beat.poll() is not None,
            explain=lambda: "beat sends nothing",
        )
        assert beat.poll() is None, (tmp_path / "beat.log").read_text()[-2000:]
    app.control.purge()


def scrape(client):
    answer = client.get("/metrics", headers={"Authorization": "Bearer token"})
    families = text_string_to_metric_families(answer.content.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_worker_and_beat_leave_heartbeats_that_checks_and_monitoring_read(client, settings, tmp_path):
    settings.METRICS_TOKEN = "token"
    processes = ["worker", "beat"]
    assert [scrape(client)["studio_alive", process] for process in processes] == [0, 0]

    with celery("worker", "-c", "1", folder=tmp_path), celery("beat", folder=tmp_path):
        wait(
            lambda: all(scrape(client)["studio_alive", process] == 1 for process in processes),
            explain=lambda: "\n".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log")),
        )
    app.control.purge()

    figures = scrape(client)
    for process in processes:
        call_command("check_heartbeat", process)
        assert 0 <= figures["studio_heartbeat_age_seconds", process] < 60
        assert abs(figures["studio_clock_ahead_seconds", process]) < 5

    with connection.cursor() as cursor:
        cursor.execute("UPDATE web_heartbeat SET at = at + '10 hours' WHERE process = 'beat'")
        cursor.execute("UPDATE web_heartbeat SET at = at - '2 hours'::interval WHERE process = 'worker'")
    figures = scrape(client)
    assert figures["studio_heartbeat_age_seconds", "worker"] > 3600
    assert figures["studio_heartbeat_age_seconds", "beat"] == float("inf"), "one of the future is an error"
    assert [figures["studio_alive", process] for process in processes] == [0, 0]
    for process in processes:
        with pytest.raises(CommandError, match="no heartbeat"):
            call_command("check_heartbeat", process)


def test_beat_goes_on_at_once_when_its_clock_is_set_back(time_machine):
    scheduler = symbol_by_name(app.conf.beat_scheduler)(app)
    broker = redis.Redis.from_url(settings.REDIS_URL)

    def tick_all():
        """Return the tasks that are sent now."""
        app.control.purge()
        while scheduler.tick() == 0:
            pass
        return {json.loads(message)["headers"]["task"] for message in broker.lrange("celery", 0, -1)}

    everything = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    now = app.now()
    time_machine.move_to(now, tick=False)
    assert tick_all() == everything, "all is due at the start"
    time_machine.move_to(now - timedelta(days=10), tick=False)
    assert tick_all() == set()
    time_machine.move_to(now - timedelta(days=10) + timedelta(hours=2), tick=False)
    assert tick_all() == everything
