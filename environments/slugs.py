"""Short names that organisations cannot have, because a page of Studio has that address."""

RESERVED_SLUGS = frozenset(
    {
        "about", "access", "account", "accounts", "admin", "api", "archival", "assets", "audit", "billing",
        "compliance", "contact", "dashboard", "deletions", "dev", "docs", "domains", "download", "enrol", "export",
        "favicon", "files", "health", "healthz", "help", "home", "i18n", "impersonate", "invitation", "invite", "join",
        "language", "ledger", "login", "logout", "mail", "media", "metrics", "new", "oauth", "organisations",
        "passkeys", "password", "pending-changes", "privacy", "profile", "public", "readyz", "receipts", "register",
        "reset", "robots", "root", "search", "security", "session", "settings", "sign-in", "signup", "sso", "static",
        "status", "studio", "super", "support", "switch", "system", "terms", "theme", "user", "users", "verify",
        "webauthn", "well-known", "www",
    }
)  # fmt: skip
