"""The audit log as people read it: filters, words, page and CSV."""
