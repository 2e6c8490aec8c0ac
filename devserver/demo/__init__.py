"""The demo data of ``make run``: invented people, organisations and conversations that add up."""
