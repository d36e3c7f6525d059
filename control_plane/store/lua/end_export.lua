-- Note how an export ended, and give it up.
-- KEYS: record (hash), owner (string), unsettled exports (zset)
-- ARGV: token, export, 1 when no parts are left in object storage, name, value, name, value …
-- Returns 1, 0 when it is not ours any more.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
if ARGV[3] == '1' then
  redis.call('ZREM', KEYS[3], ARGV[2])
end
return 1
