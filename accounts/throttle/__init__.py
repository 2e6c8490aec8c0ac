"""Budgets of failed tries and of mails: counting, showing and forgiving them."""
