import django.db.models.deletion
from django.db import migrations, models

LASTS = [
    """
CREATE TRIGGER archival_change_lasts BEFORE DELETE ON archival_policychange
    FOR EACH STATEMENT EXECUTE FUNCTION archival_receipt_lasts()
""",
    """
CREATE TRIGGER archival_hold_lasts BEFORE DELETE ON archival_hold
    FOR EACH STATEMENT EXECUTE FUNCTION archival_receipt_lasts()
""",
]
GOES = [
    "DROP TRIGGER archival_hold_lasts ON archival_hold",
    "DROP TRIGGER archival_change_lasts ON archival_policychange",
]
DO_NOTHING = {"on_delete": django.db.models.deletion.DO_NOTHING, "db_constraint": False}


class Migration(migrations.Migration):
    dependencies = [("archival", "0013_instants_of_the_database"), ("environments", "0003_mfa_for_a_date")]

    operations = [
        migrations.AddField(
            "policychange", "organisation_label", models.CharField(max_length=255, default=""), preserve_default=False
        ),
        migrations.AddField("policychange", "new_parent_label", models.CharField(max_length=255, blank=True)),
        migrations.AlterField(
            "policychange",
            "organisation",
            models.ForeignKey(to="environments.organisation", related_name="policy_changes", **DO_NOTHING),
        ),
        migrations.AlterField(
            "policychange",
            "new_parent",
            models.ForeignKey(
                to="environments.organisation", related_name="+", null=True, db_index=False, **DO_NOTHING
            ),
        ),
        migrations.AlterField(
            "hold",
            "environment",
            models.ForeignKey(to="environments.organisation", related_name="holds", db_index=False, **DO_NOTHING),
        ),
        migrations.RunSQL(LASTS, GOES),
    ]
