"""How long: runs, receipts, holds, and the outbox of files."""
