"""What shows that retention holds: ledger, receipts, the proof, alarms and metrics."""
