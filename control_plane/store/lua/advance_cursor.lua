-- Note how far the results stream is stored, and trim what is.
-- In one step, so that whoever sees an old cursor also sees every entry after it.
-- KEYS: cursor (hash), results (stream)   ARGV: ms, seq, batch of the last stored entry
-- Returns the number of entries trimmed, -1 when the cursor is already there or beyond (a sink that was late).
local cursor = redis.call('HGET', KEYS[1], 'cursor') or '0-0'
local ms, seq = string.match(cursor, '(%d+)-(%d+)')
ms, seq = tonumber(ms), tonumber(seq)
local new_ms, new_seq = tonumber(ARGV[1]), tonumber(ARGV[2])
if ms > new_ms or (ms == new_ms and seq >= new_seq) then
  return -1
end
redis.call('HSET', KEYS[1], 'cursor', ARGV[1] .. '-' .. ARGV[2], 'batch', ARGV[3])
-- XTRIM keeps its MINID: one more is the first entry that is not stored
return redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[1] .. '-' .. string.format('%.0f', new_seq + 1))
