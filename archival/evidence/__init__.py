"""Evidence that data is deleted in time: ledger, receipts, the proof, alarms and metrics."""
