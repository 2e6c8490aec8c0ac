"""Everything that varies between deployments is read from the environment; .env.example lists it."""

from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.contrib.messages import constants as message_levels
from django.utils.translation import gettext_lazy as _

from studio import environ
from web.addresses import sender

ROOT = Path(__file__).resolve().parent.parent
STATE = Path(environ.text("STUDIO_STATE", str(ROOT / ".studio"))).absolute()

# -- Secrets and hosts ------------------------------------------------------------------------
# Development means: a mailbox page instead of SMTP, and cookies that work over plain HTTP on loopback.
DEVELOPMENT = environ.flag("STUDIO_DEVELOPMENT")
DEBUG = environ.flag("STUDIO_DEBUG")
SECRET_KEY = environ.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = environ.words("SECRET_KEY_FALLBACKS")
TOTP_KEYS = environ.words("TOTP_KEYS", environ.text("TOTP_KEY", ""))  # Fernet keys, newest first
SIGNING_KEY = environ.text("SIGNING_KEY", "")  # signs seals, the journal and receipts; a check asks for it
SIGNING_PUBLIC_KEYS = environ.words("SIGNING_PUBLIC_KEYS")  # of earlier signing keys
SITE_URL = environ.text("SITE_URL", f"http://localhost:{environ.text('PORT', '8000')}").rstrip("/")
ALLOWED_HOSTS = environ.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = environ.words("CSRF_TRUSTED_ORIGINS", SITE_URL)
TRUSTED_PROXY_COUNT = environ.integer("TRUSTED_PROXY_COUNT", 0)  # hops of X-Forwarded-For that are ours

# -- The rooms, from the top down -------------------------------------------------------------
INSTALLED_APPS = [
    "devserver",
    "studio",
    "agencies",
    "archival",
    "conversations",
    "environments",
    "accounts",
    "audit",
    "web",
    "treebeard",
    "django_otp",
    "django_otp_webauthn",
    "social_django",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "django_htmx",
    "template_partials",
    "lucide",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "audit.middleware.RequestContextMiddleware",
    "studio.logs.AccessLog",
    "web.limits.RequestLimits",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "web.compression.Compression",  # before everything that writes or changes content
    "csp.middleware.CSPMiddleware",
    "studio.middleware.HeldBack",  # before everything that reads the database
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "studio.middleware.Slashes",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.sessions.services.SessionGuard",  # before the gate: it can log the user out
    "accounts.gate.Gate",
    "accounts.interrupted.Interrupted",
    "accounts.stepup.Acting",  # after the gate, whose verdict it keeps
    "accounts.locale.PersonalLocale",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.sso.refusals.SsoRefusals",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "environments.middleware.SetCaller",
    "environments.providers.trials.FailedTrials",  # after SsoRefusals, which would answer otherwise
    "environments.impersonation.services.Impersonating",  # after the gate, which judges the impersonator
    "studio.middleware.RecentEnvironments",
]
ROOT_URLCONF = "studio.urls"
WSGI_APPLICATION = "studio.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.messages.context_processors.messages",
                "studio.context.shell",
            ],
            "builtins": ["studio.templatetags.studio", "template_partials.templatetags.partials"],
        },
    }
]

# -- Storage ----------------------------------------------------------------------------------
DATABASES = {"default": dj_database_url.parse(environ.text("DATABASE_URL"), conn_max_age=60, conn_health_checks=True)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = environ.text("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL.replace("redis+socket://", "unix://"),
        "KEY_PREFIX": "studio",
    }
}
JOURNAL_FOLDER = "journal"
ATTACHMENT_STORAGE = environ.text("ATTACHMENT_STORAGE", "filesystem")
if ATTACHMENT_STORAGE == "s3":
    from botocore.config import Config

    _endpoint = environ.text("S3_ENDPOINT_URL", "") or None
    _attachments: dict[str, Any] = {
        "BACKEND": "studio.storage.Bucket",
        "OPTIONS": {
            "bucket_name": environ.text("S3_BUCKET"),
            "endpoint_url": _endpoint,
            "region_name": environ.text("S3_REGION", "") or None,
            "querystring_auth": True,
            "file_overwrite": False,
            "max_memory_size": 1_000_000,  # a larger file is read into a temporary one, not into memory
            "client_config": Config(
                # Self-hosted servers seldom have a host name for each bucket.
                s3={"addressing_style": "path" if _endpoint else "auto"},
                # A storage that does not answer must not block a page or the worker for minutes.
                connect_timeout=5,
                read_timeout=20,
                retries={"total_max_attempts": 2},
            ),
        },
    }
else:
    _attachments = {
        "BACKEND": "studio.storage.Folder",
        "OPTIONS": {"location": environ.text("ATTACHMENT_ROOT", str(STATE / "attachments"))},
    }
PURGE_JOURNAL = environ.text("PURGE_JOURNAL", "")  # a folder; empty: beside the attachments
if ATTACHMENT_STORAGE == "s3" and not PURGE_JOURNAL:
    _journal = {**_attachments, "OPTIONS": {**_attachments["OPTIONS"], "location": JOURNAL_FOLDER}}
else:
    _journal = {
        "BACKEND": "studio.storage.Folder",
        "OPTIONS": {"location": PURGE_JOURNAL or str(STATE / JOURNAL_FOLDER)},
    }
STORAGES = {
    "default": _attachments,
    "journal": _journal,
    "staticfiles": {"BACKEND": "studio.assets.HashedOnceCollected"},
}
STATIC_URL = "/static/"
STATICFILES_FINDERS = [
    "studio.assets.StylesheetFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
]
STATIC_ROOT = environ.text("STATIC_ROOT", str(STATE / "static"))
WHITENOISE_USE_FINDERS = DEVELOPMENT  # so that a checkout works before its first collectstatic

# -- Log-in -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
OIDC_PROVIDERS = environ.json_list("OIDC_PROVIDERS")
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",  # first: test clients that force a login take it
    "django_otp_webauthn.backends.WebAuthnBackend",
    *(f"accounts.oidc.Oidc_{provider['id']}" for provider in OIDC_PROVIDERS if "id" in provider),
    "accounts.oidc.Own_oidc",  # of organisations' own providers
    "accounts.oidc.Own_google",
    "accounts.oidc.Own_entra",
]
OWN_PROVIDERS_ON_LOOPBACK = DEVELOPMENT  # elsewhere they are at public addresses, by https alone
SOCIAL_AUTH_PIPELINE = (  # no create_user and no associate_by_email: people come by invitation
    "environments.providers.trials.end_trial",
    "accounts.sso.pipeline.check_claims",
    "social_core.pipeline.social_auth.social_details",
    "social_core.pipeline.social_auth.social_uid",
    "social_core.pipeline.social_auth.auth_allowed",
    "social_core.pipeline.social_auth.social_user",
    "accounts.sso.pipeline.check_purpose",
    "environments.joining.sso_pipeline.find_account",
    "accounts.sso.pipeline.require_user",
    "social_core.pipeline.social_auth.associate_user",
    "social_core.pipeline.social_auth.load_extra_data",
    "environments.joining.sso_pipeline.join_organisation",
    "accounts.sso.pipeline.stamp",
)
DNS_NAMESERVERS = environ.words("DNS_NAMESERVERS")  # empty: the machine's own
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "accounts.passwords.validators.MixedCharactersValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "/"
MFA_REQUIREMENT = "environments.policies.resolve.mfa_required"
MFA_REQUIRERS = "environments.policies.resolve.requiring_environments"
MFA_REQUIRERS_TO_COME = "environments.policies.mfa_reach.soon_requiring"
MEMBERSHIPS_OF = "environments.members.queries.memberships_of"
API_KEYS_OF = "environments.keys.services.live_keys_of"
OWN_PROVIDER = "environments.providers.queries.entry_of"
OWN_PROVIDER_OF_DOMAIN = "environments.providers.queries.entry_of_domain"
OWN_PROVIDER_IS_TRUSTED = "environments.providers.queries.reaches_nothing_else"
SEALED_COLUMNS = {"environments.IdentityProvider": "secret"}  # of rooms above, for rotate_totp
HOLDS_COVERING = "archival.holds.queries.holds_covering"
REASON_TO_REFUSE_COMMANDS = "archival.restore.readiness.reason_to_refuse_commands"
API_KEY_AUTHENTICATION = "environments.keys.authentication.ApiKeyAuthentication"
SOCIAL_AUTH_STRATEGY = "accounts.sso.strategy.Strategy"
SOCIAL_AUTH_LOGIN_ERROR_URL = "/login/"
SOCIAL_AUTH_REQUESTS_TIMEOUT = 5  # seconds of one whole call; see accounts/sso/exchange.py
SOCIAL_AUTH_URL_NAMESPACE = "social"
SOCIAL_AUTH_REDIRECT_IS_HTTPS = SITE_URL.startswith("https://")
OTP_TOTP_ISSUER = "Studio"
OTP_WEBAUTHN_RP_ID = environ.text("WEBAUTHN_RP_ID", SITE_URL.split("://")[-1].split(":")[0].split("/")[0])
OTP_WEBAUTHN_RP_NAME = "Studio"
OTP_WEBAUTHN_ALLOWED_ORIGINS = [SITE_URL]
OTP_WEBAUTHN_ALLOW_PASSWORDLESS_LOGIN = True

_secure = SITE_URL.startswith("https://")
SESSION_ENGINE = "accounts.sessions.store"
SESSION_COOKIE_NAME = "studio_session"  # cookies ignore ports: a plain "session" would collide on localhost
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _secure
SESSION_COOKIE_SAMESITE = "Lax"  # Strict would drop the session on the way back from an SSO provider
CSRF_COOKIE_NAME = "studio_csrf"
CSRF_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_NAME = "studio_language"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = environ.flag("SECURE_SSL_REDIRECT")
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz)$"]
SECURE_HSTS_SECONDS = environ.integer("SECURE_HSTS_SECONDS", 31_536_000 if _secure else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_SECONDS > 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
CSRF_FAILURE_VIEW = "studio.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# -- Language and time ------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("nl", _("Dutch"))]
LOCALE_PATHS = [ROOT / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"
USE_THOUSAND_SEPARATOR = True

# -- Messages: each level is shown as a state of a notice -------------------------------------
MESSAGE_TAGS = {
    message_levels.INFO: "",
    message_levels.SUCCESS: "ok",
    message_levels.WARNING: "pending",
    message_levels.ERROR: "late",
}

# -- Mail -------------------------------------------------------------------------------------
DEFAULT_FROM_EMAIL = sender(environ.text("DEFAULT_FROM_EMAIL", "Studio <studio@localhost>"))
EMAIL_TIMEOUT = 10
DEV_MAILBOX = STATE / "mail" if DEVELOPMENT else None  # read at /dev/mail/
if DEV_MAILBOX:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = str(DEV_MAILBOX)
else:
    EMAIL_HOST = environ.text("EMAIL_HOST", "localhost")
    EMAIL_PORT = environ.integer("EMAIL_PORT", 25)
    EMAIL_HOST_USER = environ.text("EMAIL_HOST_USER", "")
    EMAIL_HOST_PASSWORD = environ.text("EMAIL_HOST_PASSWORD", "")
    EMAIL_USE_TLS = environ.flag("EMAIL_USE_TLS")

# -- REST -------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        API_KEY_AUTHENTICATION,
        "accounts.authentication.GatedSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["environments.keys.authentication.HasCaller"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["conversations.ingest.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "web.rest.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "web.rest.answer_exception",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Studio",
    "DESCRIPTION": "Organisations, their two advanced settings, and the conversations that bots store.",
    "VERSION": "1",
    "SERVE_PERMISSIONS": ["environments.keys.authentication.HasCaller"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024  # one request of ingest: a text alone can have 2 MiB characters
FILE_UPLOAD_HANDLERS = ["web.limits.RefuseUploads"]

# -- Background work --------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 2,
}  # a broker that hangs does not hold up a page
CELERY_TASK_IGNORE_RESULT = True  # results would be copies of content that are kept longer than N days
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "studio.beat:Scheduler"
PURGE_EVERY_SECONDS = environ.number("PURGE_EVERY_SECONDS", 600, least=1)
CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "send-deliveries": {"task": "web.tasks.send_deliveries", "schedule": 15.0},
    "check-deliveries": {"task": "web.tasks.check_deliveries", "schedule": 600.0},
    "check-domains": {"task": "environments.tasks.check_domains", "schedule": 60.0},
    "review-what-was-stored": {"task": "environments.tasks.review_what_was_stored", "schedule": 300.0},
    "clear-sessions": {"task": "accounts.tasks.clear_sessions", "schedule": 3600.0},
    "end-unfounded-sessions": {"task": "accounts.tasks.end_unfounded_sessions", "schedule": 60.0},
    "apply-mfa-changes": {"task": "environments.tasks.apply_mfa_changes", "schedule": 60.0},
    "remind-of-ends": {"task": "environments.tasks.remind_of_ends", "schedule": 300.0},
    "remind-of-mfa": {"task": "environments.tasks.remind_of_mfa", "schedule": 300.0},
    "fold-daily-counts": {"task": "conversations.tasks.fold_counts", "schedule": 60.0},
    "write-journal": {"task": "archival.tasks.write_journal", "schedule": 60.0},
    "seal-audit-log": {"task": "archival.tasks.seal_audit_log", "schedule": 300.0},
    "apply-due-changes": {"task": "archival.tasks.apply_due_changes", "schedule": 60.0},
    "write-exports": {"task": "archival.tasks.write_exports", "schedule": 60.0},
    "tend-exports": {"task": "archival.tasks.tend_exports", "schedule": 60.0},
    "resume-deletions": {"task": "archival.tasks.resume_deletions", "schedule": 60.0},
    "resume-bulk-changes": {"task": "agencies.tasks.resume_bulk_changes", "schedule": 60.0},
    "forget-join-links": {"task": "environments.tasks.forget_join_links", "schedule": 3600.0},
    "store-compliance": {"task": "agencies.tasks.store_compliance", "schedule": 3600.0},
    "send-digests": {"task": "agencies.tasks.send_digests", "schedule": 600.0},
    "purge": {"task": "archival.tasks.purge", "schedule": PURGE_EVERY_SECONDS},
    "check-retention": {"task": "archival.tasks.check_retention", "schedule": PURGE_EVERY_SECONDS},
    "delete-blobs": {"task": "archival.tasks.delete_blobs", "schedule": PURGE_EVERY_SECONDS},
    "sweep-blobs": {"task": "archival.tasks.sweep_blobs", "schedule": 3600.0},
}

# -- Searches ---------------------------------------------------------------------------------
SEARCH_SECONDS = 10  # then a search stops: a search for words can have to read everything

# -- The purge --------------------------------------------------------------------------------
PURGE_ENABLED = environ.flag("PURGE_ENABLED", default=True)  # the kill switch
PURGE_SLEEP_RATIO = environ.number("PURGE_SLEEP_RATIO", 1.0)  # pause after a batch, as a share of its duration
PURGE_LIMIT_PER_ENVIRONMENT = environ.integer("PURGE_LIMIT_PER_ENVIRONMENT", 5_000_000, least=1)
METRICS_TOKEN = environ.text("METRICS_TOKEN", "")  # the bearer token of monitoring; empty: no /metrics
COOLING_OFF_HOURS = environ.number("COOLING_OFF_HOURS", 24)
EXPORT_DAYS = environ.integer("EXPORT_DAYS", 7, least=1)  # for how long an export of an environment is kept

# -- Logs: routes and our own ids, never content, never the secret of a mailed link -------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "filters": {"hide_content": {"()": "studio.logs.HideContent"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["hide_content"]}},
    "root": {"handlers": ["console"], "level": environ.text("LOG_LEVEL", "INFO")},
    "loggers": {"django": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
