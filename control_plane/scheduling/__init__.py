"""Who runs what, where, and under which fence: Lua scripts on the store and the roles that call them."""
