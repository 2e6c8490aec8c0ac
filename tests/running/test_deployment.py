"""What a deployment goes by: .env.example, docker-compose.yml, the image's entrance, and .ci/run."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.running.processes import ROOT

ROOMS = ("devserver", "studio", "agencies", "archival", "conversations", "environments", "accounts", "audit", "web")
BY_OTHERS = {"DJANGO_SETTINGS_MODULE", "AUTHLIB_INSECURE_TRANSPORT", "TOTP_KEY"}  # libraries', and an older TOTP_KEYS


def read_variables():
    """Return every variable that our code reads from the environment."""
    pattern = re.compile(r"environ(?:\.\w+\(|\[)\s*\"([A-Z][A-Z0-9_]+)\"")
    sources = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return {name for path in sources for name in pattern.findall(path.read_text())} - BY_OTHERS


def example():
    """Return the variables of .env.example, with those values that are not commented out."""
    lines = re.findall(r"^(#?)([A-Z][A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    return {name: None if comment else value for comment, name, value in lines}


def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_every_variable_is_in_the_example():
    assert read_variables() - set(example()) == set()


def test_every_variable_of_the_example_is_read():
    shell = "".join((ROOT / name).read_text() for name in ("docker-entrypoint.sh", "docker-compose.yml"))
    read = read_variables() | set(re.findall(r"\$\{([A-Z_]+)", shell)) | {"STUDIO_CHROMIUM"}
    assert set(example()) - read == set()


def test_the_settings_take_the_example_once_its_secrets_are_filled_in():
    secrets = {"SECRET_KEY": "k" * 50, **{name: os.environ[name] for name in ("TOTP_KEYS", "SIGNING_KEY")}}
    secrets |= {"DEFAULT_FROM_EMAIL": "Studio <studio@acme.test>"}
    servers = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    values = {name: value for name, value in example().items() if value} | secrets | servers
    answer = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "STUDIO_EMBEDDED": "0"} | values,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("sender", ["", "Studio <studio@localhost>", "studio@mail.localhost", "studio"])
def test_a_sender_that_mail_servers_refuse_fails_the_check_outside_development(sender):
    answer = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, "STUDIO_DEVELOPMENT": "0", "STUDIO_EMBEDDED": "0", "DEFAULT_FROM_EMAIL": sender},
        capture_output=True,
        text=True,
    )
    assert answer.returncode != 0
    assert "DEFAULT_FROM_EMAIL" in answer.stderr


SERVERS = {
    "web": ["gunicorn", "studio.wsgi:application", "--bind", "127.0.0.1:0", "--workers", "2"],
    "worker": ["celery", "-A", "studio", "worker", "--concurrency", "1"],
    "beat": ["celery", "-A", "studio", "beat"],
}
WRONG = {
    "DEFAULT_FROM_EMAIL": "Studio <studio@localhost>",
    "OIDC_PROVIDERS": '[{"id": "acme"}]',
    "DNS_NAMESERVERS": "ns.acme.test",
    "SIGNING_KEY": "short",
}


@pytest.mark.parametrize("server", SERVERS)
def test_what_fails_the_check_keeps_each_server_from_starting(server):
    right = {"STUDIO_DEVELOPMENT": "0", "STUDIO_EMBEDDED": "0"}
    answer = subprocess.run(
        [sys.executable, "-m", *SERVERS[server]],
        cwd=ROOT,
        env=os.environ | right | WRONG,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert answer.returncode != 0
    assert [variable for variable in WRONG if variable not in answer.stderr] == []


def test_compose_brings_up_every_part_in_order():
    services = compose()["services"]
    assert set(services) == {"postgres", "redis", "migrate", "web", "worker", "beat"}
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert all("healthcheck" in services[name] for name in set(services) - {"migrate"})
    assert services["migrate"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_the_image_knows_every_part_and_runs_as_nobody_in_particular():
    entrance = (ROOT / "docker-entrypoint.sh").read_text()
    for name in ("migrate", "web", "worker", "beat"):
        assert compose()["services"][name]["command"] == [name]
        assert re.search(rf"^{name}\)", entrance, re.MULTILINE)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER studio$", dockerfile, re.MULTILINE)
    assert "STUDIO_EMBEDDED=0" in dockerfile


def test_the_scripts_are_valid_shell_and_executable():
    for name in (".ci/run", "docker-entrypoint.sh"):
        assert os.access(ROOT / name, os.X_OK)
        assert subprocess.run(["sh", "-n", name], cwd=ROOT).returncode == 0
