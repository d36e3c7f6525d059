-- An entry that is no message: the cursor passes it, it is counted.
-- ARGV: limits, node, entry. Returns 'ok' | 'applied'
local node, entry = ARGV[2], ARGV[3]
if not pass(node, entry) then return 'applied' end
count('malformed_entries')
return 'ok'
