-- Take the sink lease, or renew it when it is ours.
-- KEYS: lease   ARGV: token, TTL in ms
-- Returns 1 when the lease is ours now, 0 when somebody else holds it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
