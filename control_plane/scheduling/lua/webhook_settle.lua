-- What became of one delivery. A claim that has passed to somebody else decides nothing, except that "delivered" is a
-- fact whoever reports it.
-- ARGV: limits, task, claim, outcome ('delivered', 'failed' or 'retry'), HTTP status ('' when there was no answer),
--       error ('' when there was one), delay (ms, of a retry)
-- Returns 'ok' | 'stale' (settled before, claimed by another, or the task has expired)
local task, claim, outcome, status, problem, delay = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local t = redis.call('HMGET', K.task(task), 'webhook', 'webhook_claim', 'webhook_line')
local line = t[3]
if t[1] ~= 'pending' or (t[2] ~= claim and outcome ~= 'delivered') then return 'stale' end

redis.call('HINCRBY', K.task(task), 'webhook_attempts', 1)
redis.call('HSET', K.task(task), 'webhook_status', status, 'webhook_error', problem)
if outcome == 'retry' then
  owe_webhook(line, task, NOW + delay)
else
  redis.call('HSET', K.task(task), 'webhook', outcome)
  redis.call('ZREM', line_key(line), task)
  order_line(line)
end
return 'ok'
