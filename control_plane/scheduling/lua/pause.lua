-- Queued units leave the queue, running ones checkpoint and free their slots.
-- ARGV: limits, tenant, task. Returns {'ok', state} · {'unknown'} · {'terminal', state}
local tenant, task = ARGV[2], ARGV[3]
local t = redis.call('HMGET', K.task(task), 'tenant', 'state', 'paused')
if t[1] ~= tenant then return { 'unknown' } end
if TERMINAL[t[2]] then return { 'terminal', t[2] } end
if t[3] == '1' then return { 'ok', 'paused' } end
redis.call('HSET', K.task(task), 'paused', '1')
-- what is left of the time it may wait counts on when it is resumed
local due = redis.call('ZSCORE', K.deadlines(), 'queue|' .. task)
if due then
  redis.call('HSET', K.task(task), 'queue_left', int(math.max(0, tonumber(due) - NOW)))
  redis.call('ZREM', K.deadlines(), 'queue|' .. task)
end
each_active(task, function(unit, state)
  if state == 'queued' then
    dequeue(unit)
    move(unit, 'queued', 'paused')
  elseif state == 'retrying' then
    redis.call('ZREM', K.retries(), unit)
    move(unit, 'retrying', 'paused')
  elseif state == 'running' then
    local u = redis.call('HMGET', K.unit(unit), 'slot', 'fence')
    command(node_of(u[1]), 'pause', 'unit', unit, 'fence', u[2])
  end
end)
derive(task)
emit_state(task, 'task_paused', 'paused')
dispatch()
return { 'ok', 'paused' }
