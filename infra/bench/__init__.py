"""``make bench``: figures with a named peer in the same run, printed and written to ``bench.json``."""
