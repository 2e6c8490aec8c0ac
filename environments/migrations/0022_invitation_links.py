"""Invitation links, and that a deactivation ends those of the person too, as it ends their invitations."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from web.clock import in_calendar

BEFORE = """
CREATE OR REPLACE FUNCTION environments_end_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE environments_apikey SET rests_since = clock_timestamp(), rests_because = 'gone'
        WHERE owner_id = NEW.id AND rests_since IS NULL AND revoked_at IS NULL;
    UPDATE environments_apikey SET created_by_id = NULL
        WHERE created_by_id = NEW.id AND owner_id IS NULL AND rests_since IS NULL AND revoked_at IS NULL;
    UPDATE environments_invitation SET invited_by_id = NULL
        WHERE invited_by_id = NEW.id AND by_domain_id IS NULL AND used_at IS NULL;
    UPDATE environments_organisationdomain SET confirmed_by_id = NULL
        WHERE unconfirmed_since IS NULL AND (confirmed_by_id = NEW.id OR organisation_id IN (
            SELECT id FROM environments_organisation
            WHERE auto_invite_by_id = NEW.id AND NOT auto_invite_roles <@ ARRAY['member']::varchar[]));
    UPDATE accounts_sessionrecord SET looks_until = clock_timestamp() - interval '1 hour'
        WHERE looks_as_id = NEW.id AND looks_until > clock_timestamp() - interval '1 hour' AND ended_at IS NULL;
    RETURN NULL;
END $$;
"""
LINKS = """
    UPDATE environments_invitationlink SET created_by_id = NULL WHERE created_by_id = NEW.id AND used_at IS NULL;
"""
INVITATIONS = "    UPDATE environments_invitation SET"
ROLES = [
    ("administrator", "Administrator"),
    ("organisation_manager", "Organisation manager"),
    ("environment_manager", "Environment manager"),
    ("developer", "Developer"),
    ("member", "Member"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("environments", "0021_end_of_an_invited_membership"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '5s'", "SET LOCAL lock_timeout = '5s'"),
        migrations.CreateModel(
            name="InvitationLink",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("note", models.CharField(blank=True, max_length=100)),
                (
                    "roles",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(choices=ROLES, max_length=24), size=None
                    ),
                ),
                ("membership_expires_at", models.DateTimeField(null=True)),
                ("token_hash", models.CharField(max_length=64, unique=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="invitation_links",
                        to="environments.organisation",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=in_calendar("membership_expires_at", "created_at", "expires_at", "used_at"),
                        name="invitation_link_is_in_the_calendar",
                    )
                ],
            },
        ),
        migrations.AddField(
            "invitation",
            "by_link",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="invitations",
                to="environments.invitationlink",
            ),
        ),
        migrations.RunSQL(BEFORE.replace(INVITATIONS, LINKS[1:] + INVITATIONS), BEFORE),
    ]
