"""What a session rests on, so that it ends with that; and a deactivation that ends every session for good.

The epochs of a person only grow: a stale row that is saved brings no session and no link back.
"""

from django.db import migrations, models

END_ACCESS = [
    """
CREATE FUNCTION accounts_end_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.session_epoch := greatest(NEW.session_epoch, OLD.session_epoch);
    NEW.link_epoch := greatest(NEW.link_epoch, OLD.link_epoch);
    IF OLD.is_active AND NOT NEW.is_active THEN
        NEW.session_epoch := NEW.session_epoch + 1;
        NEW.link_epoch := NEW.link_epoch + 1;
        UPDATE accounts_sessionrecord SET ended_at = clock_timestamp(), ended_why = 'deactivated'
            WHERE user_id = NEW.id AND ended_at IS NULL;
    END IF;
    RETURN NEW;
END $$
""",
    """
CREATE TRIGGER accounts_user_ends_access BEFORE UPDATE OF is_active, session_epoch, link_epoch ON accounts_user
    FOR EACH ROW EXECUTE FUNCTION accounts_end_access()
""",
]
KEEP_ACCESS = [
    "DROP TRIGGER accounts_user_ends_access ON accounts_user",
    "DROP FUNCTION accounts_end_access()",
]


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_link_epoch")]

    operations = [
        migrations.AddField(
            "sessionrecord", "opened_with", models.CharField(blank=True, db_default="", default="", max_length=80)
        ),
        migrations.AddField("sessionrecord", "basis", models.JSONField(null=True)),
        migrations.RunSQL(END_ACCESS, KEEP_ACCESS),
    ]
