"""After a backup was restored: delete again what was deleted since."""
