-- An entry that is no message: the cursor passes it, it is counted.
-- ARGV: limits, node, entry. Returns 'ok' | 'applied'
local node, entry = ARGV[2], ARGV[3]
local cursor = redis.call('HGET', K.node(node), 'cursor')
if cursor and not id_after(entry, cursor) then return 'applied' end
redis.call('HSET', K.node(node), 'cursor', entry)
count('malformed_entries')
return 'ok'
