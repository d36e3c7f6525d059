-- The slow tick: grants whatever can be granted. ARGV: limits. Returns the number of grants.
return dispatch()
