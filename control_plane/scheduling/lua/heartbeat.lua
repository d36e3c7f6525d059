-- A node's sign of life, and the reconciliation of what it runs with what it should run.
-- ARGV: limits, node, entry, boot, last command seen, draining ('1'), load (JSON), then unit, fence a live unit.
-- Returns 'ok' | 'applied' | 'stale'
local node, entry, boot, seen = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local state = redis.call('HGET', K.node(node), 'state')
local verdict = advance(node, entry, boot)
if verdict == 'stale' and (redis.call('HGET', K.node(node), 'boot') or '') == '' then
  -- The store lost its registration, and nobody else has come in under its id: it would never notice by itself.
  redis.call('XADD', K.commands(node), 'MAXLEN', 1, '*', 'k', 'anew', 'v', '1', 'boot', boot)
end
if verdict ~= 'ok' then return verdict end
redis.call('HSET', K.node(node), 'load', ARGV[7], 'seen', seen)
trim_out(node, entry)
redis.call('XTRIM', K.commands(node), 'MINID', seen)

if state == 'down' then
  -- It was taken for dead and is back; its leases are gone, its slots serve again.
  redis.call('HSET', K.node(node), 'state', 'up')
  redis.call('PERSIST', K.node(node))
  redis.call('ZADD', K.nodes(), (id_pair(entry)), node)
  for _, slot in ipairs(slots_of(node)) do
    redis.call('PERSIST', K.slot(slot))
    release(slot)
  end
  count('nodes_revived')
end
if ARGV[6] == '1' and state ~= 'draining' then
  redis.call('HSET', K.node(node), 'state', 'draining')
  for _, slot in ipairs(slots_of(node)) do unlist_slot(slot) end
end

local live = {}
for i = 8, #ARGV, 2 do
  local unit, fence = ARGV[i], ARGV[i + 1]
  live[unit .. '|' .. fence] = true
  local slot = redis.call('HGET', K.unit(unit), 'slot')
  local ours = slot and node_of(slot) == node and slot_holds(slot, unit, fence)
  if not ours then
    local releasing = false
    for _, s in ipairs(slots_of(node)) do releasing = releasing or slot_holds(s, unit, fence) end
    if not releasing then command(node, 'cancel', 'unit', unit, 'fence', fence, 'reason', 'the lease is lost') end
  end
end
for _, slot in ipairs(slots_of(node)) do
  local s = redis.call('HMGET', K.slot(slot), 'unit', 'fence', 'granted_id')
  if s[1] and not live[s[1] .. '|' .. s[2]] and not id_after(s[3], seen) then
    -- The command was handled and nothing of it runs: the end of the unit will never come.
    if holds(node, s[1], s[2]) then
      give_back(s[1], 'delivery', 'unit_lost', 'node ' .. node .. ' does not know the unit', true)
    end
    release(slot)
  end
end
dispatch()
return 'ok'
