-- What time brings about: dead nodes, due retries, passed deadlines. Bounded per call; the next tick goes on.
-- ARGV: limits. Returns {nodes reaped, units retried, deadlines passed, 1 when a bound was reached: call again}
local reaped, retried, passed = 0, 0, 0
-- A node of ten leases costs about 1 ms, a retry or a deadline a tenth of that.
local NODES, RETRIES, DEADLINES = 5, 50, 20

-- The last entry a node wrote (nil when none is kept), and whether it waits to be read.
local function last_word(node)
  local last = redis.call('XREVRANGE', K.out(node), '+', '-', 'COUNT', 1)[1]
  return last, last and id_after(last[1], redis.call('HGET', K.node(node), 'cursor') or '0-0')
end

for _, node in ipairs(redis.call('ZRANGEBYSCORE', K.nodes(), '-inf', NOW - LIMITS.session_ttl_ms, 'LIMIT', 0, 20)) do
  if reaped == NODES then break end
  -- "Not heard" may only mean that nobody has read: what stands in the stream counts.
  local last, unread = last_word(node)
  local written = last and (id_pair(last[1])) or 0
  if written > NOW - LIMITS.session_ttl_ms then
    redis.call('ZADD', K.nodes(), written, node)
  elseif not unread or written < NOW - 2 * LIMITS.session_ttl_ms then
    redis.call('HSET', K.node(node), 'state', 'down', 'left', 'not heard of')
    redis.call('ZREM', K.nodes(), node)
    drop_leases(node, 'delivery', 'node_lost', 'node ' .. node .. ' was lost')
    expire_node(node)
    count('nodes_lost')
    reaped = reaped + 1
  end
end

for _, node in ipairs(redis.call('ZRANGEBYSCORE', K.known(), '-inf', NOW - LIMITS.node_memory_s * 1000, 'LIMIT', 0, 20)) do
  if not redis.call('ZSCORE', K.nodes(), node) then
    redis.call('ZREM', K.known(), node)
    for _, slot in ipairs(slots_of(node)) do forget_slot(slot) end
    redis.call('DEL', K.node(node), K.out(node), K.commands(node))
  end
end

for _, unit in ipairs(redis.call('ZRANGEBYSCORE', K.retries(), '-inf', NOW, 'LIMIT', 0, RETRIES)) do
  redis.call('ZREM', K.retries(), unit)
  move(unit, 'retrying', 'queued')
  enqueue(unit)
  derive(task_of(unit))
  retried = retried + 1
end

for _, deadline in ipairs(redis.call('ZRANGEBYSCORE', K.deadlines(), '-inf', NOW, 'LIMIT', 0, DEADLINES)) do
  redis.call('ZREM', K.deadlines(), deadline)
  local kind, id, fence = unpack(split(deadline, '|'))
  if kind == 'grace' then
    local s = redis.call('HMGET', K.slot(id), 'state', 'fence')
    if s[1] == 'releasing' and s[2] == fence then
      -- The node did not let go within the grace: nothing is offered there until it reports a new Chrome.
      redis.call('HSET', K.slot(id), 'chrome', 'broken')
      release(id)
      count('grace_exceeded')
    end
  elseif kind == 'idle' then
    local u = redis.call('HMGET', K.unit(id), 'state', 'slot', 'fence')
    local _, unread
    if u[1] == 'running' then _, unread = last_word(node_of(u[2])) end
    if unread then
      -- What would count as progress may stand there: control planes that were away must not fail what ran on.
      redis.call('ZADD', K.deadlines(), NOW + LIMITS.idle_again_ms, deadline)
    elseif u[1] == 'running' then
      reclaim(u[2], id, u[3], 'no progress')
      give_back(id, 'attempt', 'idle_timeout', 'no page was begun or ended for ' .. int(LIMITS.idle_ms / 1000) .. ' s', true)
    end
  elseif not TERMINAL[redis.call('HGET', K.task(id), 'state') or 'completed'] then
    if kind == 'queue' then
      end_task(id, 'stopped', 'error', 'queue_timeout', 'no slot became free within queue_timeout_s')
    else
      end_task(id, 'stopped', 'error', 'task_timeout', 'the task ran for longer than timeout_s')
    end
  end
  passed = passed + 1
end

while sweep_left > 0 do
  local task, first = unpack(redis.call('ZRANGE', K.unswept(), 0, 0, 'WITHSCORES'))
  if not task then break end
  sweep(task, tonumber(first))
end

local more = reaped == NODES or retried == RETRIES or passed == DEADLINES or redis.call('EXISTS', K.unswept()) == 1
dispatch()
return { reaped, retried, passed, more and 1 or 0 }
