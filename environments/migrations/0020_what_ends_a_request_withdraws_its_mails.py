"""An access request that is answered or deleted, or whose person's account closes, takes its unsent mails with it.

What the mails are about is named as ``environments.access_requests.mail.about_request`` names it.
"""

from django.conf import settings
from django.db import migrations

WITHDRAW = [
    """
CREATE FUNCTION environments_withdraw_request_mails() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE web_delivery SET state = 'withdrawn', ended_at = clock_timestamp(), sealed = NULL
        WHERE state = 'waiting' AND starts_with(about, 'access request ' || OLD.uuid || ' ');
    RETURN NULL;
END $$
""",
    """
CREATE FUNCTION environments_withdraw_mails_of_requests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE web_delivery SET state = 'withdrawn', ended_at = clock_timestamp(), sealed = NULL
        FROM environments_accessrequest request
        WHERE request.user_id = NEW.id AND request.state = 'waiting' AND web_delivery.state = 'waiting'
            AND starts_with(about, 'access request ' || request.uuid || ' ');
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER environments_request_deleted AFTER DELETE ON environments_accessrequest
    FOR EACH ROW WHEN (OLD.state = 'waiting') EXECUTE FUNCTION environments_withdraw_request_mails()
""",
    """
CREATE TRIGGER environments_request_answered AFTER UPDATE OF state ON environments_accessrequest
    FOR EACH ROW WHEN (OLD.state = 'waiting' AND NEW.state <> 'waiting')
    EXECUTE FUNCTION environments_withdraw_request_mails()
""",
    """
CREATE TRIGGER environments_user_withdraws_requests AFTER UPDATE OF is_active ON accounts_user
    FOR EACH ROW WHEN (OLD.is_active AND NOT NEW.is_active)
    EXECUTE FUNCTION environments_withdraw_mails_of_requests()
""",
]
KEEP = [
    "DROP TRIGGER environments_user_withdraws_requests ON accounts_user",
    "DROP TRIGGER environments_request_answered ON environments_accessrequest",
    "DROP TRIGGER environments_request_deleted ON environments_accessrequest",
    "DROP FUNCTION environments_withdraw_mails_of_requests()",
    "DROP FUNCTION environments_withdraw_request_mails()",
]


class Migration(migrations.Migration):
    dependencies = [
        ("environments", "0019_opened_environment"),
        ("web", "0002_deliveries"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '10s'", migrations.RunSQL.noop),
        migrations.RunSQL(WITHDRAW, KEEP),
    ]
