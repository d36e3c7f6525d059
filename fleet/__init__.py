"""The contract between the control plane and the browser nodes. Standard library and redis only."""

PROTOCOL_VERSION = 1
