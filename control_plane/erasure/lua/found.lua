-- Say which leads an erasure is about, and tell the views; once, whoever found them.
-- KEYS: erasure (hash), erasures (stream)   ARGV: erasure id, lead ids as JSON
-- Returns 1 when this call said it, 0 when it was known (or the erasure is over).
if redis.call('HGET', KEYS[1], 'state') ~= 'running' or redis.call('HEXISTS', KEYS[1], 'lead_ids') == 1 then
  return 0
end
local e = redis.call('HMGET', KEYS[1], 'tenant', 'until')
redis.call('HSET', KEYS[1], 'lead_ids', ARGV[2])
redis.call('XADD', KEYS[2], '*', 'erasure', ARGV[1], 'tenant', e[1], 'lead_ids', ARGV[2], 'until', e[2])
return 1
