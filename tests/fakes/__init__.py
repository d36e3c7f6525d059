"""Stand-ins at our own interfaces, on real servers."""
