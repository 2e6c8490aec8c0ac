import django.db.models.deletion
from django.db import migrations, models

LASTS = [
    """
CREATE FUNCTION environments_change_lasts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'history lasts: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
""",
    """
CREATE TRIGGER environments_change_lasts BEFORE DELETE ON environments_mfachange
    FOR EACH STATEMENT EXECUTE FUNCTION environments_change_lasts()
""",
]
GOES = [
    "DROP TRIGGER environments_change_lasts ON environments_mfachange",
    "DROP FUNCTION environments_change_lasts()",
]


class Migration(migrations.Migration):
    dependencies = [("environments", "0006_normal_form_of_addresses")]

    operations = [
        migrations.AddField(
            "mfachange", "organisation_label", models.CharField(max_length=255, default=""), preserve_default=False
        ),
        migrations.AlterField(
            "mfachange",
            "organisation",
            models.ForeignKey(
                to="environments.organisation",
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="mfa_changes",
                db_constraint=False,
            ),
        ),
        migrations.RunSQL(LASTS, GOES),
    ]
