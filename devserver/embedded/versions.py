"""Check the servers of DATABASE_URL and REDIS_URL: their kind, that they answer, and their version."""

import contextlib

import dj_database_url
import psycopg2
import redis

from devserver.embedded import ServersUnavailable

LEAST_POSTGRESQL = 15
LEAST_REDIS = 7


def check_database(url: str) -> None:
    """Raise ``ServersUnavailable`` unless DATABASE_URL is a PostgreSQL that answers and is new enough."""
    with contextlib.closing(connect(url)) as connection:
        if connection.server_version < LEAST_POSTGRESQL * 10_000:
            actual = connection.server_version // 10_000
            raise ServersUnavailable(
                f"DATABASE_URL names PostgreSQL {actual}; Studio needs {LEAST_POSTGRESQL} or newer."
            )


def connect(url: str) -> "psycopg2.extensions.connection":
    """Connect with the parameters that Django will use. Raises ``ServersUnavailable``."""
    try:
        settings = dj_database_url.parse(url)
    except ValueError as error:
        raise ServersUnavailable(f"DATABASE_URL cannot be read: {error}") from None
    if settings.get("ENGINE") != "django.db.backends.postgresql":
        raise ServersUnavailable(
            "DATABASE_URL must name a PostgreSQL database (postgresql://…); Studio runs on no other."
        )
    try:
        return psycopg2.connect(
            dbname=settings["NAME"],
            user=settings.get("USER") or None,
            password=settings.get("PASSWORD") or None,
            host=settings.get("HOST") or None,
            port=settings.get("PORT") or None,
            connect_timeout=5,
            **settings.get("OPTIONS", {}),
        )
    except psycopg2.Error as error:
        raise ServersUnavailable(f"The database of DATABASE_URL does not answer: {str(error).strip()}") from None


def check_redis(url: str) -> None:
    """Raise ``ServersUnavailable`` unless REDIS_URL is a Redis, or compatible, that answers and is new enough."""
    try:
        # Protocol 2, which servers that are too old understand too.
        address = url.replace("redis+socket://", "unix://")
        with redis.Redis.from_url(address, socket_connect_timeout=5, protocol=2) as client:
            actual = str(client.info("server")["redis_version"])
    except (redis.RedisError, ValueError) as error:
        raise ServersUnavailable(f"The server of REDIS_URL does not answer: {error}") from None
    if int(actual.split(".")[0]) < LEAST_REDIS:
        raise ServersUnavailable(f"REDIS_URL names Redis {actual}; Studio needs {LEAST_REDIS} or newer.")
