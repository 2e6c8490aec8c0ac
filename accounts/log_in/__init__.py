"""The pages on which people log in, pass a second factor, step up, and log out."""
