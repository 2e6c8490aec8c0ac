"""Legal holds: what stops deletion."""
