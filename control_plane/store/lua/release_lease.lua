-- Give a lease up, so that who comes next need not wait for its TTL.
-- KEYS: lease   ARGV: token
-- Returns 1 when it was ours, 0 when not.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
