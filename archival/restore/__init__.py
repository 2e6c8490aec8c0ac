"""After a restore: repeat what was deleted and changed since the backup, and keep the web closed until then."""
