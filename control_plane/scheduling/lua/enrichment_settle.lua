-- What became of claimed questions. An answer is stored, told to the task's clients and remembered in one step, so that
-- none is stored twice and none is paid for again once it is stored.
-- ARGV: limits, tenant, then a question: question, claim, outcome, delay (ms), lead JSON, event JSON
--   answered: the lead goes to the results stream with what was found
--   refused:  the answer was none; the same content is not asked about again
--   dropped:  not asked, or asked in vain; the next time the lead is seen it may be asked about
--   retry, later: due again after the delay; only `retry` counts as an attempt
-- Returns the verdicts: 'ok', or 'stale' where the question is no longer the caller's
local tenant = ARGV[2]
local line, verdicts = K.enrichment_line(tenant), {}

local function remember(question, owed)
  local known = K.enriched(tenant, question)
  for _, name in ipairs(redis.call('HKEYS', owed)) do
    local told = string.match(name, '^[dt]:(.+)$')
    if told then redis.call('SADD', known, told) end
  end
  redis.call('EXPIRE', known, LIMITS.enrichment_memory_s)
end

for i = 3, #ARGV, 6 do
  local question, claim, outcome, delay, lead, told =
    ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
  local owed = K.enrichment(tenant, question)
  local record = redis.call('HMGET', owed, 'claim', 'task', 'unit')
  if record[1] ~= claim then
    verdicts[#verdicts + 1] = 'stale'
  else
    if outcome == 'retry' or outcome == 'later' then
      if outcome == 'retry' then redis.call('HINCRBY', owed, 'attempts', 1) end
      redis.call('ZADD', line, NOW + delay, question)
    else
      if outcome == 'answered' then
        local task, event = record[2], ''
        -- A task whose events have expired is not given new ones, which nobody would remove.
        if redis.call('EXISTS', K.events(task)) == 1 then event = emit(task, 'enriched', told) end
        redis.call('XADD', K.results(), '*', 'task', task, 'tenant', tenant, 'unit', record[3], 'event', event,
                   'lead', lead)
        count('enrichments')
      end
      if outcome ~= 'dropped' then remember(question, owed) end
      redis.call('DEL', owed)
      redis.call('ZREM', line, question)
    end
    verdicts[#verdicts + 1] = 'ok'
  end
end
return verdicts
