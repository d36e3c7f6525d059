-- Webhooks that are due become the caller's for the length of a lease: their due time moves ahead, so that what a dead
-- replica had claimed is due again. A receiver and a tenant get so many at once, counting those in the caller's hands.
-- ARGV: limits, lease (ms), most, most a receiver, most a tenant, then name, count: what the caller has in its hands of a
--       line ("tenant|receiver") and of a tenant
-- Returns {{task, HGETALL of the task} a claim, {tasks that have expired and were dropped}}
local lease, left, of_receiver, of_tenant = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local held = {}
for i = 6, #ARGV, 2 do held[ARGV[i]] = tonumber(ARGV[i + 1]) end

local claimed, expired = {}, {}
-- Lines that are full are passed over; two hundred of them bound the call.
for _, line in ipairs(redis.call('ZRANGEBYSCORE', K.webhooks(), '-inf', NOW, 'LIMIT', 0, 200)) do
  local tenant = string.match(line, '^(.+)|')
  local room = math.min(left, of_receiver - (held[line] or 0), of_tenant - (held[tenant] or 0))
  if room > 0 then
    for _, task in ipairs(redis.call('ZRANGEBYSCORE', line_key(line), '-inf', NOW, 'LIMIT', 0, room)) do
      if redis.call('EXISTS', K.task(task)) == 1 then
        redis.call('HINCRBY', K.task(task), 'webhook_claim', 1)
        redis.call('ZADD', line_key(line), NOW + lease, task)
        claimed[#claimed + 1] = { task, redis.call('HGETALL', K.task(task)) }
        held[tenant] = (held[tenant] or 0) + 1
        left = left - 1
      else
        redis.call('ZREM', line_key(line), task)
        expired[#expired + 1] = task
      end
    end
    order_line(line)
  end
end
return { claimed, expired }
