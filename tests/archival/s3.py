"""An S3-speaking server process on loopback, and Studio's own settings pointed at it."""

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings as django_settings

from devserver.embedded.valkey import free_port

BUCKET = "attachments"


class S3Server:
    """moto's server with one bucket. Objects are in its memory, so ``stop`` notes them and ``start`` puts them back."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.log = log
        self.kept: dict[str, bytes] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.client: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1"
        )  # credentials: the environment's
        command = [
            sys.executable,
            "-c",
            "from moto.server import main; main()",
            "-H",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.client.create_bucket(Bucket=BUCKET)
                break
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    pytest.fail(f"moto's server did not start\n{self.log.read_text()[-2000:]}")
                time.sleep(0.1)
        for key, content in self.kept.items():
            self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def stop(self) -> None:
        if self.process is None:
            return
        self.kept = {key: self.read(key) for key in self.listed()}
        self.process.terminate()
        self.process.wait(20)
        self.process = None

    def listed(self) -> set[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {found["Key"] for page in pages for found in page.get("Contents", ())}

    def empty(self) -> None:
        keys = sorted(self.listed())
        for start in range(0, len(keys), 1000):
            objects = [{"Key": key} for key in keys[start : start + 1000]]
            self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})

    def read(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def storages(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what ``studio/settings.py`` makes of an environment that asks for S3."""
    variables = {
        "ATTACHMENT_STORAGE": "s3",
        "S3_BUCKET": BUCKET,
        "S3_ENDPOINT_URL": server.url,
        "S3_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "from the environment",
        "AWS_SECRET_ACCESS_KEY": "too",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"])),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found: dict[str, Any] = runpy.run_path(str(Path(django_settings.ROOT) / "studio" / "settings.py"))["STORAGES"]
    return found
