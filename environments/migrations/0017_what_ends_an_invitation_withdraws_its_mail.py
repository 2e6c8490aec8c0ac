"""An invitation that ends, whichever way, takes the mail with it that did not leave yet, in the same transaction.

What the mail is about is named as ``environments.invitations.services.about_invitation`` names it.
"""

from django.db import migrations

WITHDRAW = [
    """
CREATE FUNCTION environments_withdraw_invitation_mail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE web_delivery SET state = 'withdrawn', ended_at = clock_timestamp(), sealed = NULL
        WHERE state = 'waiting' AND about = 'invitation ' || OLD.organisation_id || ' '
            || left(encode(sha256(convert_to(OLD.email, 'UTF8')), 'hex'), 32);
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER environments_invitation_deleted AFTER DELETE ON environments_invitation
    FOR EACH ROW WHEN (OLD.used_at IS NULL) EXECUTE FUNCTION environments_withdraw_invitation_mail()
""",
    """
CREATE TRIGGER environments_invitation_ended AFTER UPDATE OF used_at, invited_by_id ON environments_invitation
    FOR EACH ROW WHEN (OLD.used_at IS NULL AND (NEW.used_at IS NOT NULL
        OR (OLD.invited_by_id IS NOT NULL AND NEW.invited_by_id IS NULL)))
    EXECUTE FUNCTION environments_withdraw_invitation_mail()
""",
]
KEEP = [
    "DROP TRIGGER environments_invitation_ended ON environments_invitation",
    "DROP TRIGGER environments_invitation_deleted ON environments_invitation",
    "DROP FUNCTION environments_withdraw_invitation_mail()",
]


class Migration(migrations.Migration):
    dependencies = [
        ("environments", "0016_deactivation_ends_what_others_use"),
        ("web", "0002_deliveries"),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '10s'", migrations.RunSQL.noop),
        migrations.RunSQL(WITHDRAW, KEEP),
    ]
