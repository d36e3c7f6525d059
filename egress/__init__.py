"""The egress proxy: the only way out of a Chrome, and of what a node fetches itself. Part of the agent or a process."""
