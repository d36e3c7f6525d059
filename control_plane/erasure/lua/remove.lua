-- Take one entry off a tenant's opt-out list, and with it the leads that it led to.
-- KEYS: opt-outs (hash), their order (zset), tenant (hash)   ARGV: digest
-- Returns the entry's JSON, or nothing when it is not on the list.
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if not entry then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.find(all[i + 1], '"because":"' .. ARGV[1] .. '"', 1, true) then
    redis.call('HDEL', KEYS[1], all[i])
    redis.call('ZREM', KEYS[2], all[i])
  end
end
redis.call('HINCRBY', KEYS[3], 'opt_outs', 1)
return entry
