-- Paused units wait again, in their order, in front of those that never ran.
-- ARGV: limits, tenant, task. Returns {'ok', state} · {'unknown'} · {'terminal', state}
local tenant, task = ARGV[2], ARGV[3]
local t = redis.call('HMGET', K.task(task), 'tenant', 'state', 'paused')
if t[1] ~= tenant then return { 'unknown' } end
if TERMINAL[t[2]] then return { 'terminal', t[2] } end
if t[3] == '1' then
  redis.call('HSET', K.task(task), 'paused', '0')
  local left = redis.call('HGET', K.task(task), 'queue_left')
  if left then
    redis.call('ZADD', K.deadlines(), NOW + tonumber(left), 'queue|' .. task)
    redis.call('HDEL', K.task(task), 'queue_left')
  end
  local paused = {}
  each_active(task, function(unit, state) if state == 'paused' then paused[#paused + 1] = unit end end)
  for i = #paused, 1, -1 do
    move(paused[i], 'paused', 'waiting')
    redis.call('LPUSH', K.waiting(task), index_of(paused[i]))
  end
  admit(task)
  derive(task)
  emit_state(task, 'task_resumed', redis.call('HGET', K.task(task), 'state'))
  dispatch()
end
return { 'ok', redis.call('HGET', K.task(task), 'state') }
