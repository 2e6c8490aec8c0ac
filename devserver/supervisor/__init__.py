"""`make run`: one process that starts servers, web, worker, beat, demo provider and demo data, and stops them all."""
