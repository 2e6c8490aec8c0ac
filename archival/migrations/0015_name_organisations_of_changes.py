from django.db import migrations

NAME = """
UPDATE archival_policychange c SET organisation_label = o.name
FROM environments_organisation o WHERE o.id = c.organisation_id
"""
NAME_PLACES = """
UPDATE archival_policychange c SET new_parent_label = o.name
FROM environments_organisation o WHERE o.id = c.new_parent_id
"""


class Migration(migrations.Migration):
    dependencies = [("archival", "0014_history_outlives_organisations")]

    operations = [
        migrations.RunSQL(NAME, migrations.RunSQL.noop),
        migrations.RunSQL(NAME_PLACES, migrations.RunSQL.noop),
    ]
