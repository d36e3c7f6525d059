-- Take events out of a task's stream and count them: what is missing for another reason was trimmed, which clients that
-- come back are told.
-- KEYS: events (stream), task (hash)   ARGV: ids of entries
-- Returns how many were there.
local gone = redis.call('XDEL', KEYS[1], unpack(ARGV))
if gone > 0 and redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HINCRBY', KEYS[2], 'events_erased', gone) end
return gone
