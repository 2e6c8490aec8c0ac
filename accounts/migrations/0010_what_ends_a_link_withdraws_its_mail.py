"""What ends a mailed link or code takes the mail with it that did not leave yet, in the same transaction.

The names of what mails are about are those of ``accounts.passwords.services``, ``accounts.profile.email_change`` and
``accounts.factors.services``.
"""

from django.db import migrations

WITHDRAW = [
    """
CREATE FUNCTION accounts_withdraw_mails() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_closed boolean := OLD.is_active AND NOT NEW.is_active;
    is_moved boolean := NEW.email <> OLD.email;
    is_new_password boolean := NEW.password <> OLD.password;
BEGIN
    IF is_closed OR is_moved OR is_new_password OR NEW.link_epoch <> OLD.link_epoch
            OR NEW.last_login IS DISTINCT FROM OLD.last_login THEN
        UPDATE web_delivery SET state = 'withdrawn', ended_at = clock_timestamp(), sealed = NULL
            WHERE state = 'waiting' AND about = 'password reset ' || NEW.id;
    END IF;
    IF is_closed OR is_new_password OR NEW.session_epoch <> OLD.session_epoch THEN
        UPDATE web_delivery SET state = 'withdrawn', ended_at = clock_timestamp(), sealed = NULL
            WHERE state = 'waiting' AND about = 'e-mail change ' || NEW.id;
    END IF;
    IF is_closed OR is_moved THEN
        UPDATE web_delivery SET state = 'withdrawn', ended_at = clock_timestamp(), sealed = NULL
            WHERE state = 'waiting' AND starts_with(about, 'mailbox code ' || NEW.id || ' ');
    END IF;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER accounts_user_withdraws_mails
    AFTER UPDATE OF is_active, email, password, session_epoch, link_epoch, last_login ON accounts_user
    FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION accounts_withdraw_mails()
""",
]
KEEP = [
    "DROP TRIGGER accounts_user_withdraws_mails ON accounts_user",
    "DROP FUNCTION accounts_withdraw_mails()",
]


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_calendar"),
        ("web", "0002_deliveries"),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '10s'", migrations.RunSQL.noop),
        migrations.RunSQL(WITHDRAW, KEEP),
    ]
