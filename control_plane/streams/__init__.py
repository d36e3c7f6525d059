"""Fan-out: one blocking read a replica, bounded queues, and the ways a client may listen."""
