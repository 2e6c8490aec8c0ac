"""Delete files whose attachments are deleted, and find files without a row."""
