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
local turn = tonumber(redis.call('ZSCORE', K.ring(label), tenant) or math.huge)
local ahead = rank
local ring = redis.call('ZRANGE', K.ring(label), 0, -1, 'WITHSCORES')
for i = 1, #ring, 2 do
  if ring[i] ~= tenant then
    local turns = rank + (tonumber(ring[i + 1]) < turn and 1 or 0)
    ahead = ahead + math.min(redis.call('ZCARD', K.queue(label, ring[i])), turns)
  end
end
return ahead
