"""The demo data of ``make run``: invented organisations, people and conversations."""
