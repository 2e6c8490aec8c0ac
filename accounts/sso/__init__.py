"""Log-in through OpenID Connect providers."""
