"""A deactivation also ends what others use on that person's word, for good: keys, invitations, roles by domains.

The database forgets whose word it was, in the transaction of the deactivation; the next look tells the administrators.
"""

from django.conf import settings
from django.db import migrations

END = """
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
END_LESS = """
CREATE OR REPLACE FUNCTION environments_end_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE environments_apikey SET rests_since = clock_timestamp(), rests_because = 'gone'
        WHERE owner_id = NEW.id AND rests_since IS NULL AND revoked_at IS NULL;
    UPDATE accounts_sessionrecord SET looks_until = clock_timestamp() - interval '1 hour'
        WHERE looks_as_id = NEW.id AND looks_until > clock_timestamp() - interval '1 hour' AND ended_at IS NULL;
    RETURN NULL;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("environments", "0015_defaults_for_the_older_web"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunSQL(END, END_LESS)]
