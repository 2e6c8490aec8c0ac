"""Store the demo data in an empty Studio. Existing data stays, so a second run changes nothing."""

import base64
import json
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils.text import slugify

from accounts import totp
from accounts.models import TotpDevice, User
from audit.services import record
from conversations.ingest.blobs import MediaFolder
from conversations.ingest.counts import fold_counts
from conversations.ingest.lines import check_conversation
from conversations.ingest.services import store
from conversations.models import Contact, Conversation, Message
from devserver.demo import cast, talk
from environments.caller import SYSTEM
from environments.choices import Kind, MfaSetting
from environments.models import Membership, Organisation
from environments.policies.mfa import MfaRule
from environments.policies.retention import Retention
from environments.policies.services import set_require_mfa, set_retention
from environments.tree.services import create_organisation

DAYS = 400
CONVERSATIONS = (40, 90)  # in an environment, least and most
SHOWCASE = {"maasborg-claims": 400, "harbour-claims": 300}  # more, for the pages that visitors open first
BATCH = 500

Progress = Callable[[str], None]


def seed(*, now: datetime, say: Progress) -> int:
    """Create missing demo data and write the log-ins; returns how many conversations were stored.

    ``demo.json`` in the state folder lists the log-ins, for the start of ``make run``.
    """
    with transaction.atomic():
        if not Organisation.objects.filter(slug=slugify(cast.AGENCIES[0].name)).exists():
            _create_tree(now)
            say("organisations and their settings")
            _create_people(now)
            say("people, their roles and their factors")
    stored = 0
    with tempfile.TemporaryDirectory() as folder:
        files = talk.write_files(Path(folder))
        for agency in cast.AGENCIES:
            for customer in agency.customers:
                for name in customer.environments:
                    stored += _store_conversations(
                        slugify(name), customer.language, MediaFolder(Path(folder)), files, now
                    )
            say(f"conversations of {agency.name}")
    fold_counts()
    return stored


def _create_tree(now: datetime) -> None:
    market = create_organisation("Benelux", kind=Kind.MARKET, by=SYSTEM, now=now)
    for agency in cast.AGENCIES:
        above = create_organisation(agency.name, kind=Kind.AGENCY, parent=market, by=SYSTEM, now=now)
        for customer in agency.customers:
            node = create_organisation(customer.name, kind=Kind.CUSTOMER, parent=above, by=SYSTEM, now=now)
            for name in customer.environments:
                create_organisation(name, kind=Kind.ENVIRONMENT, parent=node, by=SYSTEM, now=now)
    for setting in cast.SETTINGS:
        node = Organisation.objects.get(slug=setting.slug)
        if setting.require_mfa:
            locked = setting.locked and setting.require_mfa == MfaSetting.ON
            set_require_mfa(node, to=MfaRule(setting.require_mfa, locked), by=SYSTEM, now=now)
        if days := setting.archive_after_days:
            set_retention(node, to=Retention.limit(days, locked=setting.locked), by=SYSTEM, now=now)


def _create_people(now: datetime) -> None:
    password = make_password(cast.PASSWORD)  # one hash for all: Argon2 is slow on purpose, and the password is printed
    random = Random(1)
    staff: list[tuple[User, str, str]] = []
    for agency in cast.AGENCIES:
        for customer in agency.customers:
            for role in cast.STAFF_ROLES:
                name = f"{random.choice(cast.FIRST_NAMES)} {random.choice(cast.LAST_NAMES)}"
                email = f"{slugify(name).replace('-', '.')}.{role.split('_')[0]}@{customer.domain}"
                seen = now - timedelta(hours=random.uniform(1, 900))
                user = User(email=email, name=name, password=password, created_at=now, last_active_at=seen)
                staff.append((user, role, slugify(customer.name)))
    logins = [
        User(
            email=login.email,
            name=login.name,
            password=make_password(None) if login.comes_by_sso else password,
            is_superuser=not login.at,
            created_at=now,
        )
        for login in cast.LOGINS
    ]
    User.objects.bulk_create([*logins, *(user for user, _role, _slug in staff)])
    grants = [(user, login.role, login.at) for user, login in zip(logins, cast.LOGINS, strict=True) if login.at] + staff
    nodes = {node.slug: node for node in Organisation.objects.filter(slug__in={slug for _u, _r, slug in grants})}
    Membership.objects.bulk_create(
        Membership(user=user, organisation=nodes[slug], roles=[role], created_at=now, accepted_at=now)
        for user, role, slug in grants
    )
    for user, role, slug in grants:
        record("membership.granted", nodes[slug], by=None, subject=user, after={"roles": [role]})
    secrets = {login.email: totp.new_key() for login in cast.LOGINS if login.has_app}
    with_app = [user for user, role, _slug in staff if role != "member"]
    _give_apps([*logins, *with_app], secrets, now)
    _write_logins(secrets)


def _give_apps(users: list[User], secrets: dict[str, bytes], now: datetime) -> None:
    """Give an authenticator app to all staff, and to log-ins that have a secret."""
    named = {login.email for login in cast.LOGINS}
    TotpDevice.objects.bulk_create(
        TotpDevice(
            user=user,
            name="Phone",
            confirmed=True,
            created_at=now,
            secret=totp.seal(secrets.get(user.email) or totp.new_key(), user_id=user.pk),
        )
        for user in users
        if user.email in secrets or user.email not in named
    )


def _write_logins(secrets: dict[str, bytes]) -> None:
    rows = [
        {
            "email": login.email,
            "name": login.name,
            "password": "" if login.comes_by_sso else cast.PASSWORD,
            "role": login.role.replace("_", " "),
            "totp_secret": base64.b32encode(secrets[login.email]).decode() if login.has_app else "",
            "sso": login.email if login.comes_by_sso else "",  # what a visitor types there
            "note": login.note,
        }
        for login in cast.LOGINS
    ]
    settings.STATE.mkdir(parents=True, exist_ok=True)
    path = settings.STATE / "demo.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(rows, indent=1))


def _store_conversations(
    slug: str, language: str, media: MediaFolder, files: dict[str, tuple[str, int]], now: datetime
) -> int:
    """Store the conversations of one environment if it has none; returns how many."""
    environment = Organisation.objects.get(slug=slug)
    if Conversation.objects.filter(environment=environment).exists():
        return 0
    count = SHOWCASE.get(slug) or Random(slug).randint(*CONVERSATIONS)
    made = talk.conversations(slug, language=language, count=count, days=DAYS, now=now, files=files)
    parsed = [check_conversation(value) for value in made]
    for start in range(0, count, BATCH):
        store(environment, parsed[start : start + BATCH], now=now, media=media)
    _backdate(environment)
    return count


def _backdate(environment: Organisation) -> None:
    """Set the creation of conversations and contacts to their first message, as if they had arrived one by one."""
    messages = Message.objects.filter(environment=environment, conversation=OuterRef("pk"))
    said = messages.order_by("sent_at").values("sent_at")[:1]
    mine = Conversation.objects.filter(environment=environment)
    mine.update(created_at=Subquery(said))
    begun = mine.filter(contact=OuterRef("pk")).order_by("created_at").values("created_at")[:1]
    Contact.objects.filter(environment=environment).update(created_at=Subquery(begun))
