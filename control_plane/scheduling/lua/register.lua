-- A node's registration: a new boot takes over the node's id, what an earlier boot held goes back to the queue.
-- ARGV: limits, node, entry, boot, address, relay, labels ('any' included, comma separated), version, browser, sandbox,
--       egress key, then index, port a slot; port 0: not to be given units before a slot_change.
-- Returns 'ok' | 'applied'
local node, entry, boot = ARGV[2], ARGV[3], ARGV[4]
if not pass(node, entry) then return 'applied' end

local before = redis.call('HGET', K.node(node), 'boot')
if before then
  redis.call('HSET', K.node(node), 'state', 'down')
  drop_leases(node, 'delivery', 'node_restarted', 'node ' .. node .. ' restarted')
  for _, slot in ipairs(slots_of(node)) do forget_slot(slot) end
  redis.call('XTRIM', K.commands(node), 'MAXLEN', 0)
  if before ~= boot then command(node, 'superseded', 'by', boot) end
end

local indexes = {}
for i = 12, #ARGV, 2 do indexes[#indexes + 1] = ARGV[i] end
redis.call('HSET', K.node(node), 'boot', boot, 'state', 'up', 'address', ARGV[5], 'relay', ARGV[6], 'labels', ARGV[7],
           'version', ARGV[8], 'browser', ARGV[9], 'sandbox', ARGV[10], 'slots', table.concat(indexes, ','),
           'registered', NOW, 'seen', '0-0')
redis.call('PERSIST', K.node(node))
local generation = redis.call('HINCRBY', K.node(node), 'generation', 1)
redis.call('ZADD', K.nodes(), NOW, node)
for i = 12, #ARGV, 2 do
  local slot = node .. '/' .. ARGV[i]
  local chrome = ARGV[i + 1] == '0' and 'broken' or 'ok'
  redis.call('HSET', K.slot(slot), 'node', node, 'labels', ARGV[7], 'port', ARGV[i + 1], 'chrome', chrome)
  release(slot)
end
command(node, 'accepted', 'generation', generation, 'egress_key', ARGV[11])
count('registrations')
trim_out(node, entry)
dispatch()
return 'ok'
