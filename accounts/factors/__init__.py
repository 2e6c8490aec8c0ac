"""Second factors: authenticator app, passkeys, recovery codes, and the mailbox code for the first one."""
