"""The machine that opens pages: one agent, S Chrome slots, no secrets. Knows `fleet` and `leads` only."""
