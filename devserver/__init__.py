"""What only ``make run``, manage.py and the tests use: embedded servers, the supervisor and demo data."""
