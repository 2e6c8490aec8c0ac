"""Exports of whole environments: written by a task, kept for some days, then deleted."""
