"""What ends mailed links for a new password, beside Django's own rules."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_normal_form_of_addresses")]

    operations = [
        migrations.AddField("user", "link_epoch", models.PositiveIntegerField(db_default=0, default=0)),
    ]
