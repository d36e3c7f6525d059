"""``make demo``: a client of the public API that scrapes the sample town while one watches."""
