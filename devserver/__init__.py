"""Embedded servers, the supervisor and demo data: only for ``make run``, manage.py and the tests."""
