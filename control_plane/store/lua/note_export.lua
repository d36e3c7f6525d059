-- Note how far an export is, and stay its owner.
-- KEYS: record (hash), owner (string)   ARGV: token, TTL of the owner in ms, name, value, name, value …
-- Returns 1, 0 when it is not ours any more: it was cancelled, or another worker has taken it over.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
return 1
