"""An organisation's own identity providers: added, tried, turned on and off by its Administrators."""
