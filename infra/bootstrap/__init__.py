"""From a fresh clone to a working set-up. Standard library only: it runs before anything is installed."""
