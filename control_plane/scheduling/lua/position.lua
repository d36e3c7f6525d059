-- How many units will be dispatched before the first queued unit of a task, in the order in which they really will be:
-- round robin between tenants, priority and arrival within one. Changes nothing.
-- It looks at each tenant that waits, about 1 µs each, and at no unit but the task's active ones.
-- ARGV: limits, tenant, task. Returns the number of units ahead, or -1 when no unit of the task is queued.
local tenant, task = ARGV[2], ARGV[3]
local label = redis.call('HGET', K.task(task), 'label')
if not label then return -1 end
local rank
for _, unit in ipairs(active_units(task)) do
  rank = redis.call('ZRANK', K.queue(label, tenant), unit)
  if rank then break end
end
if not rank then return -1 end
local ahead, passed = rank, false
-- The ring is read in its order: who stands before us has one turn more.
for _, other in ipairs(redis.call('ZRANGE', K.ring(label), 0, -1)) do
  if other == tenant then
    passed = true
  else
    ahead = ahead + math.min(redis.call('ZCARD', K.queue(label, other)), rank + (passed and 0 or 1))
  end
end
return ahead
