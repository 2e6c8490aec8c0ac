"""A deactivation ends a person's keys, and every impersonation of them, for good: also where nothing looks meanwhile."""

from django.conf import settings
from django.db import migrations

END = [
    """
CREATE FUNCTION environments_end_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE environments_apikey SET rests_since = clock_timestamp(), rests_because = 'gone'
        WHERE owner_id = NEW.id AND rests_since IS NULL AND revoked_at IS NULL;
    UPDATE accounts_sessionrecord SET looks_until = clock_timestamp() - interval '1 hour'
        WHERE looks_as_id = NEW.id AND looks_until > clock_timestamp() - interval '1 hour' AND ended_at IS NULL;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER environments_person_ends_access AFTER UPDATE OF is_active ON accounts_user
    FOR EACH ROW WHEN (OLD.is_active AND NOT NEW.is_active) EXECUTE FUNCTION environments_end_access()
""",
]
KEEP = [
    "DROP TRIGGER environments_person_ends_access ON accounts_user",
    "DROP FUNCTION environments_end_access()",
]


class Migration(migrations.Migration):
    dependencies = [
        ("environments", "0012_tightened_at"),
        ("accounts", "0008_what_a_session_rests_on"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '10s'", migrations.RunSQL.noop),
        migrations.RunSQL(END, KEEP),
    ]
