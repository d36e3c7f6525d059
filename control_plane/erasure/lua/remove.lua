-- Take one entry off a tenant's opt-out list.
-- KEYS: opt-outs (hash), their order (zset), tenant (hash)   ARGV: digest
-- Returns the entry's JSON, or nothing when it is not on the list.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[3], 'opt_outs', 1)
return entry
