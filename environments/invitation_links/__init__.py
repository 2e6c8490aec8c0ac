"""Links to join that whoever invites copies and passes on; the mailbox is proven when they are opened."""
