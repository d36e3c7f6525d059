-- The store was set back: what it knows of a node's life is from before. What the node held goes back at no cost, and its
-- next heartbeat, which is read whether it is known or not, is answered with 'anew'. ARGV: limits, node. Returns 'ok'
local node = ARGV[2]
redis.call('ZADD', K.known(), 'GT', NOW, node)
if redis.call('EXISTS', K.node(node)) == 1 then
  redis.call('HSET', K.node(node), 'boot', '', 'state', 'down')
  redis.call('ZREM', K.nodes(), node)
  drop_leases(node, 'none', 'returned', 'the store was set back')
  dispatch()
end
return 'ok'
