"""File names from labels that came from outside."""

import re

_unsafe = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:*?\"<>|\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def safe_name(label: str) -> str:
    """Make a file name for a download from a label: no path, nothing invisible that turns it around, never hidden."""
    return _unsafe.sub("_", label).strip(". ") or "attachment"
