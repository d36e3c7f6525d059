-- Write a stream anew: an entry that was deleted keeps its bytes for as long as others of its node are there.
-- Ids, the last id and the time to live stay, so readers do not notice.
-- KEYS: stream, a name that nobody else uses
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local facts = {}
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do facts[info[i]] = info[i + 1] end
local last, expires = facts['last-generated-id'], redis.call('PEXPIRETIME', KEYS[1])
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[2])
for _, entry in ipairs(entries) do redis.call('XADD', KEYS[2], entry[1], unpack(entry[2])) end
if #entries == 0 then
  if last == '0-0' then return 0 end
  redis.call('XADD', KEYS[2], last, 'nothing', '')
  redis.call('XDEL', KEYS[2], last)
end
redis.call('XSETID', KEYS[2], last, 'ENTRIESADDED', facts['entries-added'], 'MAXDELETEDID', facts['max-deleted-entry-id'])
redis.call('RENAME', KEYS[2], KEYS[1])
if expires > 0 then redis.call('PEXPIREAT', KEYS[1], expires) end
return #entries
