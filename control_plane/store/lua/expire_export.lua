-- Note that the object of an export is deleted, unless it is being made again meanwhile.
-- KEYS: export (hash)
-- Returns 1 when it was ready, 0 when not.
if redis.call('HGET', KEYS[1], 'status') ~= 'ready' then return 0 end
redis.call('HSET', KEYS[1], 'status', 'expired')
return 1
