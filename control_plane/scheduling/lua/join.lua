-- A node may come in. The caller has checked nothing; it sets the ACL user only after 'ok'.
-- A known id with another password is let in only when the session of the one that holds it has ended.
-- ARGV: limits, node, password hash ('' where the server has the user beforehand, and tells nodes apart itself), join
--       cursor. Returns 'ok' | 'taken'
local node, hash = ARGV[2], ARGV[3]
redis.call('SET', K.join_cursor(), ARGV[4])
local n = redis.call('HMGET', K.node(node), 'password', 'state')
if hash ~= '' and n[1] and n[1] ~= hash and redis.call('ZSCORE', K.nodes(), node) then
  count('joins_refused')
  return 'taken'
end
redis.call('HSET', K.node(node), 'password', hash)
if not n[2] then redis.call('HSET', K.node(node), 'state', 'down') end
redis.call('PERSIST', K.node(node))
redis.call('ZADD', K.known(), NOW, node)
return 'ok'
