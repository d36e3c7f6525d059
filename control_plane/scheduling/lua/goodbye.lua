-- A drained node leaves. What it still held goes back at no cost.
-- ARGV: limits, node, entry, boot, reason. Returns 'ok' | 'applied' | 'stale'
local node, entry, boot = ARGV[2], ARGV[3], ARGV[4]
local verdict = advance(node, entry, boot)
if verdict ~= 'ok' then return verdict end
redis.call('HSET', K.node(node), 'state', 'down', 'left', ARGV[5])
redis.call('ZREM', K.nodes(), node)
drop_leases(node, 'none', 'returned', 'node ' .. node .. ' left')
expire_node(node)
trim_out(node, entry)
dispatch()
return 'ok'
