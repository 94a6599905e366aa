"""Digests by mail: messages, SMTP, subscriptions, and who gets what when."""
