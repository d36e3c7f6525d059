"""The end of a task, told to an address of the client's: see docs/decisions/0007-webhooks.md."""
