-- One batch of a unit: results, events and checkpoint become visible together, once.
-- ARGV: limits, node, entry, boot, unit, fence, seq, pages, left out, current, #events, #results, #set, #unset, version
--       of the tenant's opt-out list that the batch was checked against, leads withheld for it, then
--       kind, data an event ·
--       observation id, lead id, identifiers ('\n' between), lead JSON, digest ('': no model is asked), weight, objective
--       a result · field, value a set · field an unset
-- An identifier that begins with '?' is looked up and then used up: a lead known only by its domain is adopted by the
-- first one that has a phone, and not by the next branch of the same site.
-- Returns {'ok', results accepted} · {'applied'} · {'stale'} · {'refused'} (not the node's lease) · {'repeated'} ·
--         {'outdated'} (the list has changed; nothing was applied: check against the new one and call again)
local node, entry, boot, unit, fence, seq = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local tenant = redis.call('HGET', K.task(task_of(unit)), 'tenant')
if tenant and (redis.call('HGET', K.tenant(tenant), 'opt_outs') or '0') ~= ARGV[15] then return { 'outdated' } end
local verdict = advance(node, entry, boot)
if verdict ~= 'ok' then return { verdict } end
if not holds(node, unit, fence) then
  count('stale_writes')
  return { 'refused' }
end
-- A lost reply makes a node append the same batch again.
if seq <= tonumber(redis.call('HGET', K.unit(unit), 'seq')) then return { 'repeated' } end
redis.call('HSET', K.unit(unit), 'seq', seq)
saw_progress(unit)

local task = task_of(unit)
local platform = redis.call('HGET', K.unit(unit), 'platform')
local max_results = tonumber(redis.call('HGET', K.task(task), 'max_results'))
local cursor = 17

for _ = 1, tonumber(ARGV[11]) do
  emit(task, ARGV[cursor], ARGV[cursor + 1])
  cursor = cursor + 2
end

-- Two observations with an identifier in common are the same lead of this task, however it was called first.
local function lead_of(minted, identifiers)
  for _, identifier in ipairs(identifiers) do
    local adopted = string.match(identifier, '^%?(.+)$')
    local known = redis.call('HGET', K.found(task), adopted or identifier)
    if known then
      if adopted then redis.call('HDEL', K.found(task), adopted) end
      return known, false
    end
  end
  return minted, true
end

-- A model is asked about a lead and an objective once for each content and, however many pages tell of it, once a task.
-- The fullest of the contents that come in before it is asked is the one that is sent.
local function owe_enrichment(lead_id, digest, weight, objective, data)
  local question = lead_id .. '.' .. objective
  local known, owed = K.enriched(tenant, question), K.enrichment(tenant, question)
  if redis.call('SISMEMBER', known, digest) == 1 then return end
  if redis.call('SISMEMBER', known, task) == 1 then
    redis.call('SADD', known, digest)
    return
  end
  local waiting = redis.call('HMGET', owed, 'weight', 'claim')
  if not waiting[1] then
    local line = K.enrichment_line(tenant)
    if redis.call('ZCARD', line) >= LIMITS.enrichment_line then
      count('enrichments_crowded_out')
      return
    end
    redis.call('HSET', owed, 'since', NOW, 'claim', 0, 'attempts', 0)
    redis.call('ZADD', line, NOW + LIMITS.enrichment_wait_ms, question)
    redis.call('ZADD', K.enrichment_turns(), 'NX', 0, tenant)
  end
  redis.call('HSET', owed, 'd:' .. digest, '', 't:' .. task, '')
  if not waiting[1] or (waiting[2] == '0' and tonumber(weight) > tonumber(waiting[1])) then
    redis.call('HSET', owed, 'lead', data, 'weight', weight, 'task', task, 'unit', unit)
  end
  redis.call('EXPIRE', owed, 86400)
end

local accepted, full = 0, false
for _ = 1, tonumber(ARGV[12]) do
  local observation, minted, identifiers, lead = ARGV[cursor], ARGV[cursor + 1], ARGV[cursor + 2], ARGV[cursor + 3]
  local digest, weight, objective = ARGV[cursor + 4], ARGV[cursor + 5], ARGV[cursor + 6]
  cursor = cursor + 7
  identifiers = split(identifiers, '\n')
  if redis.call('SADD', K.seen(task), observation) == 1 then
    local lead_id, new = lead_of(minted, identifiers)
    local found = tonumber(redis.call('HGET', K.task(task), 'found'))
    if new and max_results > 0 and found >= max_results then
      full = true
    else
      for _, identifier in ipairs(identifiers) do
        if string.sub(identifier, 1, 1) ~= '?' then redis.call('HSETNX', K.found(task), identifier, lead_id) end
      end
      if new then
        redis.call('HINCRBY', K.task(task), 'found', 1)
        redis.call('HINCRBY', K.task(task), 'p:' .. platform, 1)
        redis.call('HINCRBY', K.unit(unit), 'found', 1)
        count('leads')
        full = max_results > 0 and found + 1 >= max_results
      end
      -- The lead id is the store's to say; the JSON comes without it.
      local data = '{"lead_id":"' .. lead_id .. '",' .. string.sub(lead, 2)
      local event = emit(task, 'result', data)
      redis.call('XADD', K.results(), '*', 'task', task, 'tenant', tenant, 'unit', unit, 'event', event, 'lead', data)
      if digest ~= '' then owe_enrichment(lead_id, digest, weight, objective, data) end
      accepted = accepted + 1
    end
  end
end

for _ = 1, tonumber(ARGV[13]) do
  redis.call('HSET', K.checkpoint(unit), ARGV[cursor], ARGV[cursor + 1])
  cursor = cursor + 2
end
for _ = 1, tonumber(ARGV[14]) do
  redis.call('HDEL', K.checkpoint(unit), ARGV[cursor])
  cursor = cursor + 1
end

if tonumber(ARGV[16]) > 0 then count('leads_withheld', ARGV[16]) end
local pages = tonumber(ARGV[8])
if pages > 0 then
  redis.call('HINCRBY', K.task(task), 'pages', pages)
  redis.call('HINCRBY', K.unit(unit), 'pages', pages)
  count('pages', pages)
end
if tonumber(ARGV[9]) > 0 then redis.call('HINCRBY', K.task(task), 'left_out', ARGV[9]) end
if ARGV[10] ~= '' then
  redis.call('HSET', K.unit(unit), 'current', ARGV[10])
  redis.call('HSET', K.task(task), 'current_query', redis.call('HGET', K.unit(unit), 'query'),
             'current_platform', platform)
end
if pages > 0 or accepted > 0 then emit_progress(task) end
if full then
  log_event(task, 'info', 'max_results reached: ' .. int(max_results) .. ' leads')
  end_task(task, 'completed', 'completed')
  dispatch()
end
return { 'ok', accepted }
