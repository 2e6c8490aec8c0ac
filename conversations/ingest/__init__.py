"""Storing conversations: the format, its checks, import, append and bulk ingest."""
