"""A person's own pages: profile, security, and changing their e-mail address."""
