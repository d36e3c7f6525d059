-- Make a worker the owner of an export, unless another one is: a new record, or one whose worker died.
-- KEYS: record (hash), owner (string), exports of the tenant (zset), unsettled exports (zset)
-- ARGV: export, token, TTL of the owner in ms, retention in ms, now in ms, now as ISO 8601, tenant, request,
--   status and time of creation of the record that the caller has seen, empty when it saw none
-- Returns how often the export has been begun since it was asked for, 0 when somebody else is its owner or has ended it
-- since the caller looked: what made the caller begin it may be gone.
local status, created_at = unpack(redis.call('HMGET', KEYS[1], 'status', 'created_at'))
local unfinished = status == 'pending' or status == 'running'
if status and not unfinished and (status ~= ARGV[9] or created_at ~= ARGV[10]) then
  return 0
end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) == false then
  return 0
end
local created, attempts = ARGV[6], 1
if unfinished then
  created = created_at
  attempts = (tonumber(redis.call('HGET', KEYS[1], 'attempts')) or 1) + 1
else
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'status', 'pending', 'tenant', ARGV[7], 'request', ARGV[8], 'created_at', created,
  'attempts', attempts)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[5] - ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1])
return attempts
