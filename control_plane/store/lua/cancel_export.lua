-- Cancel an export that has not ended: its owner finds that it is one no longer.
-- KEYS: record (hash), owner (string)
-- Returns 1, 0 when it had ended, -1 when there is none.
local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  return -1
end
if status ~= 'pending' and status ~= 'running' then
  return 0
end
redis.call('HSET', KEYS[1], 'status', 'cancelled')
redis.call('DEL', KEYS[2])
return 1
