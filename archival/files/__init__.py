"""Files of attachments: deleting those whose rows are gone, and finding those without a row."""
