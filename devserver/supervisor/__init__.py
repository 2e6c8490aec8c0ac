"""`make run`: servers, web, worker, beat, demo provider and demo data under one process that ends with all of them."""
