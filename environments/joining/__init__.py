"""Join an organisation by an e-mail address at one of its domains: by mail or by SSO."""
