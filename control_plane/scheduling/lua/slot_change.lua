-- A slot's Chrome died or a new one is warm.
-- ARGV: limits, node, entry, boot, slot index, 'ok' or 'broken', port. Returns 'ok' | 'applied' | 'stale' | 'refused'
local node, entry, boot = ARGV[2], ARGV[3], ARGV[4]
local verdict = advance(node, entry, boot)
if verdict ~= 'ok' then return verdict end
local slot = node .. '/' .. ARGV[5]
if redis.call('EXISTS', K.slot(slot)) == 0 then return 'refused' end
redis.call('HSET', K.slot(slot), 'chrome', ARGV[6], 'port', ARGV[7])
if ARGV[6] == 'broken' then count('chromes_lost') end
-- A lease outlives its Chrome: the node ends the unit itself, or gives it a new one.
if redis.call('HEXISTS', K.slot(slot), 'unit') == 0 then release(slot) end
dispatch()
return 'ok'
