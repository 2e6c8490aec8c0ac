"""Operations of migrations that the rooms share."""

import sys
from typing import Any

from django.contrib.postgres.operations import ValidateConstraint
from django.db import IntegrityError, transaction


class ValidateIfItHolds(ValidateConstraint):
    """Validate a constraint that was added as NOT VALID; where older rows break it, say so and leave it at that.

    It holds for every new row either way. To end the migration would stop everybody for the rows of one environment.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        try:
            with transaction.atomic(using=schema_editor.connection.alias):
                super().database_forwards(app_label, schema_editor, from_state, to_state)
        except IntegrityError:
            table = from_state.apps.get_model(app_label, self.model_name)._meta.db_table
            sys.stderr.write(
                f"{table} has rows that {self.name} forbids. It holds for new rows; check_retention names the "
                f"environments. Mend them, then: ALTER TABLE {table} VALIDATE CONSTRAINT {self.name}\n"
            )
