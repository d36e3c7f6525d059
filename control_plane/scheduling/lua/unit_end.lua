-- A unit is over on its node: the slot is free, the unit is finished or goes back, the next one is dispatched.
-- ARGV: limits, node, entry, boot, unit, fence, seq, outcome, error, detail, retryable ('1')
-- Returns 'ok' | 'applied' | 'stale' | 'refused'
local node, entry, boot, unit, fence = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local outcome, reason, detail = ARGV[8], ARGV[9], ARGV[10]
local verdict = advance(node, entry, boot)
if verdict ~= 'ok' then return verdict end

local slot = redis.call('HGET', K.unit(unit), 'slot')
if not slot or node_of(slot) ~= node or not slot_holds(slot, unit, fence) then
  -- Not its lease any more; but a slot of the node may still be waiting for this word.
  slot = nil
  for _, s in ipairs(slots_of(node)) do if slot_holds(s, unit, fence) then slot = s end end
end
if not slot then
  count('stale_writes')
  return 'refused'
end
if holds(node, unit, fence) then
  local task = task_of(unit)
  local took = NOW - tonumber(redis.call('HGET', K.unit(unit), 'started'))
  if outcome == 'completed' then
    left_running(unit, 'completed')
    redis.call('HSET', K.unit(unit), 'ended', NOW)
    redis.call('DEL', K.checkpoint(unit))
    -- Moving average over about 20 units: what a wait is estimated from.
    local mean = tonumber(redis.call('HGET', K.counters(), 'unit_ms_mean') or took)
    redis.call('HSET', K.counters(), 'unit_ms_mean', int(mean + (took - mean) / 20))
    admit(task)
    emit_progress(task)
    derive(task)
  elseif outcome == 'failed' then
    give_back(unit, 'attempt', reason, detail, ARGV[11] == '1')
  elseif outcome == 'paused' then
    give_back(unit, 'none', 'paused', 'resumed before it had paused', true)
  else
    give_back(unit, 'none', 'returned', 'node ' .. node .. ' handed it back', true)
  end
end
release(slot)
dispatch()
return 'ok'
