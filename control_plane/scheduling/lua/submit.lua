-- A task and its units enter the store, or are refused as a whole.
-- ARGV: limits, tenant, task, label, priority, max_parallel, max_results, timeout_ms, queue_timeout_ms, options, spec,
--       idempotency digest ('' for none), body digest, webhook line 'tenant|receiver' ('' for none), then platform,
--       query a unit.
-- Returns {'ok', task, used, limit} · {'replayed', task, used, limit} · {'mismatch'} · {'queue_full', waiting, cap} ·
--         {'tenant_queue_full', the tenant's waiting, its cap} · {'quota', used, limit, seconds until midnight UTC}
local tenant, task, label = ARGV[2], ARGV[3], ARGV[4]
local digest, body, line = ARGV[12], ARGV[13], ARGV[14]
local first = 15
local units = (#ARGV - first + 1) / 2

local day = int(math.floor(NOW / 86400000))
local limit = tonumber(redis.call('HGET', K.tenant(tenant), 'daily_units') or LIMITS.tenant_daily_units)
local used = tonumber(redis.call('GET', K.usage(tenant, day)) or 0)

if digest ~= '' then
  local known = redis.call('GET', K.idempotency(tenant, digest))
  if known then
    local known_body, known_task = string.match(known, '^(.-)|(.+)$')
    if known_body ~= body then return { 'mismatch' } end
    return { 'replayed', known_task, used, limit }
  end
end

local waiting = backlog()
if waiting + units > LIMITS.queue_cap then return { 'queue_full', waiting, LIMITS.queue_cap } end
local own = redis.call('HMGET', K.tenant(tenant), 'backlog', 'max_queued')
local own_waiting, own_cap = tonumber(own[1] or 0), tonumber(own[2] or LIMITS.tenant_max_queued)
if own_waiting + units > own_cap then return { 'tenant_queue_full', own_waiting, own_cap } end
if used + units > limit then return { 'quota', used, limit, math.ceil((86400000 - NOW % 86400000) / 1000) } end

used = redis.call('INCRBY', K.usage(tenant, day), units)
redis.call('EXPIRE', K.usage(tenant, day), 172800)
if digest ~= '' then
  redis.call('SET', K.idempotency(tenant, digest), body .. '|' .. task, 'EX', LIMITS.idempotency_s)
end

redis.call('HSET', K.task(task), 'tenant', tenant, 'label', label, 'priority', ARGV[5], 'max_parallel', ARGV[6],
           'max_results', ARGV[7], 'timeout_ms', ARGV[8], 'options', ARGV[10], 'spec', ARGV[11], 'state', 'queued',
           'arrival', redis.call('INCR', K.arrivals()), 'created', NOW, 'units', units, 'paused', '0', 'found', 0,
           'pages', 0, 'left_out', 0, 'n_waiting', units, 'n_queued', 0, 'n_running', 0, 'n_retrying', 0, 'n_paused', 0,
           'n_completed', 0, 'n_failed', 0, 'n_stopped', 0)
if line ~= '' then
  redis.call('HSET', K.task(task), 'webhook', 'pending', 'webhook_line', line, 'webhook_attempts', 0)
end
local platforms, known = {}, {}
for i = 0, units - 1 do
  local platform, query = ARGV[first + 2 * i], ARGV[first + 2 * i + 1]
  redis.call('HSET', K.unit(task .. '.' .. int(i)), 'state', 'waiting', 'platform', platform, 'query', query)
  redis.call('RPUSH', K.waiting(task), int(i))
  if not known[platform] then
    known[platform] = true
    platforms[#platforms + 1] = platform
    redis.call('HSET', K.task(task), 'p:' .. platform, 0)
  end
end
redis.call('HSET', K.task(task), 'platforms', table.concat(platforms, ','))
count('units_waiting', units)
redis.call('HINCRBY', K.tenant(tenant), 'backlog', units)
redis.call('HINCRBY', K.tenant(tenant), 'pending', units)
redis.call('ZADD', K.tenant_tasks(tenant), NOW, task)
-- What has expired leaves the index a little at a time.
for _, old in ipairs(redis.call('ZRANGE', K.tenant_tasks(tenant), 0, 3)) do
  if redis.call('EXISTS', K.task(old)) == 0 then redis.call('ZREM', K.tenant_tasks(tenant), old) end
end
if tonumber(ARGV[9]) > 0 then redis.call('ZADD', K.deadlines(), NOW + tonumber(ARGV[9]), 'queue|' .. task) end
count('tasks_submitted')
log_event(task, 'info', 'Queued ' .. int(units) .. (units == 1 and ' unit' or ' units'))
admit(task)
dispatch()
return { 'ok', task, used, limit }
