"""A fleet that is upgraded while it is used: replica by replica, node by node, nothing failed, nothing lost."""
