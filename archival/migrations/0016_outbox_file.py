from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("archival", "0015_name_organisations_of_changes")]

    operations = [migrations.AddIndex("blobtodelete", models.Index("key", name="outbox_file"))]
