-- What a wait is estimated from: the slots that serve a label, and the tenants who wait for one. Changes nothing.
-- ARGV: limits, label, tenant (told of also when it has nothing queued), most slots to tell of
-- Returns {now, mean length of a unit (ms; '' when none has ended), free slots, busy slots, sampled, waiting}
--   sampled: lease begun (ms), tenant of busy slots, evenly picked in the order of their leases
--   waiting: tenant, pending, queued, running, max_running of each, in the order of their turns; those who may not run
--            more come last
local label, asker, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local busy = redis.call('ZCARD', K.busy(label))
local sampled, stride = {}, math.max(1, math.ceil(busy / most))
for rank = 0, busy - 1, stride do
  local slot = redis.call('ZRANGE', K.busy(label), rank, rank, 'WITHSCORES')
  local unit = redis.call('HGET', K.slot(slot[1]), 'unit')
  sampled[#sampled + 1] = slot[2]
  sampled[#sampled + 1] = unit and redis.call('HGET', K.task(task_of(unit)), 'tenant') or ''
end

local waiting, told = {}, {}
local function tell(tenant)
  if told[tenant] then return end
  told[tenant] = true
  local t = redis.call('HMGET', K.tenant(tenant), 'pending', 'running', 'max_running')
  for _, value in ipairs({ tenant, t[1] or '0', redis.call('ZCARD', K.queue(label, tenant)), t[2] or '0',
                           t[3] or int(LIMITS.tenant_max_running) }) do
    waiting[#waiting + 1] = value
  end
end
for _, tenant in ipairs(redis.call('ZRANGE', K.ring(label), 0, -1)) do tell(tenant) end
for _, tenant in ipairs(redis.call('SMEMBERS', K.queued_tenants(label))) do tell(tenant) end
tell(asker)
return { NOW, redis.call('HGET', K.counters(), 'unit_ms_mean') or '', redis.call('ZCARD', K.free(label)), busy, sampled,
         waiting }
