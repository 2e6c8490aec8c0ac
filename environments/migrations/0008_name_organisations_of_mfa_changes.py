from django.db import migrations

NAME = """
UPDATE environments_mfachange c SET organisation_label = o.name
FROM environments_organisation o WHERE o.id = c.organisation_id
"""


class Migration(migrations.Migration):
    dependencies = [("environments", "0007_mfa_changes_last")]

    operations = [migrations.RunSQL(NAME, migrations.RunSQL.noop)]
