-- An erasure is done: its record keeps counts, and nothing of what was erased.
-- KEYS: erasure (hash), open erasures (zset)   ARGV: erasure id, TTL in seconds
-- Returns 1 when this call finished it, 0 when it was finished.
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'state', 'done',
           'done', string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)))
redis.call('HDEL', KEYS[1], 'value', 'lead_ids', 'traces', 'error')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
