from django.db import migrations, models

KINDS = ("run", "batch", "erasure", "policy", "move", "change", "hold", "release", "deletion")


class Migration(migrations.Migration):
    dependencies = [("archival", "0020_announcement")]

    operations = [
        migrations.AlterField(
            "journalentry", "kind", models.CharField(choices=[(kind, kind.title()) for kind in KINDS], max_length=64)
        ),
    ]
