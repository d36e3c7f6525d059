-- An operator wants a node empty. ARGV: limits, node. Returns 'ok' | 'unknown' | the state it is in when not up
local node = ARGV[2]
local state = redis.call('HGET', K.node(node), 'state')
if not state then return 'unknown' end
if state ~= 'up' then return state end
redis.call('HSET', K.node(node), 'state', 'draining')
for _, slot in ipairs(slots_of(node)) do unlist_slot(slot) end
command(node, 'drain')
return 'ok'
