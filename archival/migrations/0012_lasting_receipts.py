from django.db import migrations, models

KINDS = ("run", "erasure", "policy", "move", "change", "hold", "release", "deletion")
COUNTS = ("conversations", "messages", "variables", "attachments", "contacts", "bytes")
FEWER = " OR ".join(f"NEW.{kind} < OLD.{kind}" for kind in COUNTS)
FORBID = [
    """
CREATE FUNCTION archival_receipt_lasts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'receipts last: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
""",
    """
CREATE TRIGGER archival_receipt_lasts BEFORE DELETE ON archival_receipt
    FOR EACH STATEMENT EXECUTE FUNCTION archival_receipt_lasts()
""",
    f"""
CREATE TRIGGER archival_receipt_grows BEFORE UPDATE ON archival_receipt FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.run_id <> OLD.run_id OR NEW.environment_id <> OLD.environment_id
        OR NEW.environment_label <> OLD.environment_label OR NEW.cutoff < OLD.cutoff OR {FEWER})
    EXECUTE FUNCTION archival_receipt_lasts()
""",
    """
CREATE TRIGGER archival_run_lasts BEFORE DELETE ON archival_purgerun
    FOR EACH STATEMENT EXECUTE FUNCTION archival_receipt_lasts()
""",
    f"""
CREATE TRIGGER archival_run_grows BEFORE UPDATE ON archival_purgerun FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.purpose <> OLD.purpose OR {FEWER})
    EXECUTE FUNCTION archival_receipt_lasts()
""",
    """
CREATE TRIGGER archival_erasure_lasts BEFORE UPDATE OR DELETE ON archival_erasure
    FOR EACH STATEMENT EXECUTE FUNCTION archival_receipt_lasts()
""",
]
ALLOW = [
    "DROP TRIGGER archival_erasure_lasts ON archival_erasure",
    "DROP TRIGGER archival_run_grows ON archival_purgerun",
    "DROP TRIGGER archival_run_lasts ON archival_purgerun",
    "DROP TRIGGER archival_receipt_grows ON archival_receipt",
    "DROP TRIGGER archival_receipt_lasts ON archival_receipt",
    "DROP FUNCTION archival_receipt_lasts()",
]


class Migration(migrations.Migration):
    dependencies = [("archival", "0011_change_announced")]

    operations = [
        migrations.RunSQL(FORBID, ALLOW),
        migrations.AlterField(
            "journalentry", "kind", models.CharField(choices=[(kind, kind.title()) for kind in KINDS], max_length=64)
        ),
    ]
