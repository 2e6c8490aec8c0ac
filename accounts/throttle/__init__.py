"""Budgets of failed tries and of mails: counting, showing and clearing them."""
