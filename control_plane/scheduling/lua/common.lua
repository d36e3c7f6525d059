-- What all scheduling scripts share. Loaded in front of each of them, after the generated key functions.
--
-- KEYS[1] is the root of the fleet's keys; it carries the hash tag, so every name that is derived from it lives in
-- the same slot of a cluster. ARGV[1] is `Limits` as JSON. Everything a script changes, it changes at once.

-- A store of another layout is left alone: by a replica that was not stopped when the store was brought up to date, and by
-- one that is ahead of it.
local schema = redis.call('GET', K.schema())
if schema and schema ~= SCHEMA then return redis.error_reply('SCHEMA ' .. schema) end

local LIMITS = cjson.decode(ARGV[1])

local clock = redis.call('TIME')
local NOW_US = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local NOW = math.floor(NOW_US / 1000)

local TERMINAL = { stopped = true, completed = true, error = true }

-- Doubles hold integers up to 2^53; tostring() would print them as 1.7e+15.
local function int(number) return string.format('%.0f', number) end

local function split(text, separator)
  local parts = {}
  for part in string.gmatch(text, '([^' .. separator .. ']+)') do parts[#parts + 1] = part end
  return parts
end

-- Stream ids are compared as pairs of numbers.
local function id_pair(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms) or 0, tonumber(seq) or 0
end

local function id_after(a, b)
  local a_ms, a_seq = id_pair(a)
  local b_ms, b_seq = id_pair(b)
  return a_ms > b_ms or (a_ms == b_ms and a_seq > b_seq)
end

local function count(name, by) redis.call('HINCRBY', K.counters(), name, by or 1) end

local function task_of(unit) return string.match(unit, '^(.+)%.%d+$') end
local function index_of(unit) return string.match(unit, '%.(%d+)$') end
local function node_of(slot) return string.match(slot, '^(.+)/%d+$') end
local function slot_index(slot) return string.match(slot, '/(%d+)$') end

-- What became of each lease, in order: `granted`, `ended` (the unit has left it, `state` says to what), `freed` (the slot
-- is empty again; a little later when the node must still let go).
local function log_lease(kind, slot, unit, fence, state)
  if LIMITS.lease_log == 0 then return end
  redis.call('XADD', K.leases(), 'MAXLEN', '~', LIMITS.lease_log, '*', 'k', kind, 'slot', slot, 'unit', unit,
             'fence', fence, 'state', state or '')
end

-- Events ------------------------------------------------------------------------------------------------------------

local function emit(task, kind, data)
  return redis.call('XADD', K.events(task), 'MAXLEN', '~', LIMITS.events_max, '*', 'k', kind, 'd', data)
end

local function log_event(task, level, message, unit)
  emit(task, 'log', cjson.encode({ level = level, message = message, unit = unit }))
end

local UNIT_STATES = { 'waiting', 'queued', 'running', 'retrying', 'paused', 'completed', 'failed', 'stopped' }

-- Named fields, never the whole hash: the spec in it may be a thousand queries long.
local function progress_of(task)
  local t = redis.call('HMGET', K.task(task), 'platforms', 'found', 'pages', 'left_out', 'current_query',
                       'current_platform')
  local progress, units = {}, {}
  for _, platform in ipairs(split(t[1] or '', ',')) do
    progress[platform] = tonumber(redis.call('HGET', K.task(task), 'p:' .. platform))
  end
  local counts = {}
  for i, state in ipairs(UNIT_STATES) do counts[i] = 'n_' .. state end
  for i, number in ipairs(redis.call('HMGET', K.task(task), unpack(counts))) do
    if number ~= '0' then units[UNIT_STATES[i]] = tonumber(number) end
  end
  return {
    progress = progress, units = units, total_results = tonumber(t[2]), pages = tonumber(t[3]),
    pages_left_out = tonumber(t[4]), current_query = t[5] or nil, current_platform = t[6] or nil,
  }
end

local function emit_progress(task) emit(task, 'progress', cjson.encode(progress_of(task))) end

local function emit_state(task, kind, state, reason, detail)
  local data = progress_of(task)
  data.task_id, data.status, data.error, data.detail = task, state, reason, detail
  emit(task, kind, cjson.encode(data))
end

-- Counting units by state -----------------------------------------------------------------------------------------------

local BACKLOG = { waiting = true, queued = true, retrying = true, paused = true }
local PENDING = { waiting = true, queued = true }

-- What is neither held back nor over: `max_parallel` units of a task at most. Who asks for those of a task asks for its
-- `active` set and never walks through all its units.
local ACTIVE = { queued = true, running = true, retrying = true, paused = true }

local function move(unit, from, to)
  local task = task_of(unit)
  if ACTIVE[to] and not ACTIVE[from] then
    redis.call('SADD', K.active(task), index_of(unit))
  elseif ACTIVE[from] and not ACTIVE[to] then
    redis.call('SREM', K.active(task), index_of(unit))
  end
  redis.call('HSET', K.unit(unit), 'state', to)
  redis.call('HINCRBY', K.task(task), 'n_' .. from, -1)
  redis.call('HINCRBY', K.task(task), 'n_' .. to, 1)
  count('units_' .. from, -1)
  count('units_' .. to, 1)
  local tenant = redis.call('HGET', K.task(task), 'tenant')
  local backlog = (BACKLOG[to] and 1 or 0) - (BACKLOG[from] and 1 or 0)
  if backlog ~= 0 then redis.call('HINCRBY', K.tenant(tenant), 'backlog', backlog) end
  local pending = (PENDING[to] and 1 or 0) - (PENDING[from] and 1 or 0)
  if pending ~= 0 then redis.call('HINCRBY', K.tenant(tenant), 'pending', pending) end
end

-- The active units of a task, in their order.
local function active_units(task)
  local indexes, units = {}, {}
  for _, index in ipairs(redis.call('SMEMBERS', K.active(task))) do indexes[#indexes + 1] = tonumber(index) end
  table.sort(indexes)
  for i, index in ipairs(indexes) do units[i] = task .. '.' .. int(index) end
  return units
end

local function each_active(task, visit)
  for _, unit in ipairs(active_units(task)) do visit(unit, redis.call('HGET', K.unit(unit), 'state')) end
end

local function backlog()
  local total = 0
  for _, n in ipairs(redis.call('HMGET', K.counters(), 'units_waiting', 'units_queued', 'units_retrying',
                                'units_paused')) do
    total = total + tonumber(n or 0)
  end
  return total
end

-- The ring: tenants that have something dispatchable and may run more ------------------------------------------------

local function may_run(tenant)
  local limits = redis.call('HMGET', K.tenant(tenant), 'running', 'max_running')
  return tonumber(limits[1] or 0) < tonumber(limits[2] or LIMITS.tenant_max_running)
end

-- A tenant that joins goes before the one that was served last, in order of joining: a flood that holds every slot
-- delays the first unit of somebody else by no more than what its shortest unit still takes. Who was served last and joins
-- again is still the one that was served last.
local JOINS_A_TURN = 1000

local function turn_of_joining(tenant)
  local joined = redis.call('INCR', K.turns())
  return int(math.max(joined, tonumber(redis.call('HGET', K.tenant(tenant), 'served') or 0)))
end

local function turn_of_served(tenant)
  local turn = (math.floor(tonumber(redis.call('GET', K.turns()) or 0) / JOINS_A_TURN) + 1) * JOINS_A_TURN
  redis.call('SET', K.turns(), int(turn))
  redis.call('HSET', K.tenant(tenant), 'served', int(turn + JOINS_A_TURN - 1))
  return int(turn + JOINS_A_TURN - 1)
end

local function ring_update(label, tenant)
  local queued = redis.call('EXISTS', K.queue(label, tenant)) == 1
  redis.call(queued and 'SADD' or 'SREM', K.queued_tenants(label), tenant)
  if queued and may_run(tenant) then
    if not redis.call('ZSCORE', K.ring(label), tenant) then
      redis.call('ZADD', K.ring(label), turn_of_joining(tenant), tenant)
    end
  else
    redis.call('ZREM', K.ring(label), tenant)
  end
end

local function ring_update_all(tenant)
  for _, label in ipairs(redis.call('SMEMBERS', K.labels())) do ring_update(label, tenant) end
end

-- Priority first (9 is the most urgent), then arrival of the task, then the unit's index in it.
local function enqueue(unit)
  local task = redis.call('HMGET', K.task(task_of(unit)), 'tenant', 'label', 'priority', 'arrival')
  local tenant, label = task[1], task[2]
  local score = (9 - tonumber(task[3])) * 1e13 + tonumber(task[4]) * 1000 + tonumber(index_of(unit))
  redis.call('ZADD', K.queue(label, tenant), int(score), unit)
  redis.call('HSET', K.unit(unit), 'queued', NOW)
  redis.call('SADD', K.labels(), label)
  ring_update(label, tenant)
end

local function dequeue(unit)
  local task = redis.call('HMGET', K.task(task_of(unit)), 'tenant', 'label')
  redis.call('ZREM', K.queue(task[2], task[1]), unit)
  ring_update(task[2], task[1])
end

-- Units of a task beyond `max_parallel` wait with the task, so that what is in a queue can really be dispatched.
local function admit(task)
  local t = redis.call('HMGET', K.task(task), 'paused', 'max_parallel', 'n_queued', 'n_running', 'n_retrying')
  if t[1] == '1' then return end
  local room = tonumber(t[2]) - tonumber(t[3]) - tonumber(t[4]) - tonumber(t[5])
  while room > 0 do
    local index = redis.call('LPOP', K.waiting(task))
    if not index then return end
    local unit = task .. '.' .. index
    move(unit, 'waiting', 'queued')
    enqueue(unit)
    room = room - 1
  end
end

-- Slots -----------------------------------------------------------------------------------------------------------------

local function slot_labels(slot) return split(redis.call('HGET', K.slot(slot), 'labels') or '', ',') end

-- Neither free nor busy: the slot does not serve.
local function unlist_slot(slot)
  for _, label in ipairs(slot_labels(slot)) do
    redis.call('ZREM', K.free(label), slot)
    redis.call('ZREM', K.busy(label), slot)
  end
end

-- Slots are counted as they change, so that nobody has to look at all of them; `to` is nil when the slot is no more.
local function set_slot_state(slot, to)
  local from = redis.call('HGET', K.slot(slot), 'state')
  if from == to then return end
  if from then count('slots_' .. from, -1) end
  if to then
    count('slots_' .. to)
    redis.call('HSET', K.slot(slot), 'state', to)
  end
end

local function forget_slot(slot)
  set_slot_state(slot, nil)
  redis.call('DEL', K.slot(slot))
end

-- The slot has no unit any more. It is offered only when its Chrome lives and its node takes work.
local function release(slot)
  local held = redis.call('HMGET', K.slot(slot), 'unit', 'fence')
  if held[2] then
    redis.call('ZREM', K.deadlines(), 'grace|' .. slot .. '|' .. held[2])
    log_lease('freed', slot, held[1], held[2])
  end
  redis.call('HDEL', K.slot(slot), 'unit', 'fence', 'granted', 'granted_id')
  local chrome = redis.call('HGET', K.slot(slot), 'chrome')
  local state = redis.call('HGET', K.node(node_of(slot)), 'state')
  unlist_slot(slot)
  if chrome ~= 'ok' then
    set_slot_state(slot, 'broken')
  elseif state == 'down' then
    set_slot_state(slot, 'down')
  else
    set_slot_state(slot, 'free')
    if state == 'up' then
      for _, label in ipairs(slot_labels(slot)) do redis.call('ZADD', K.free(label), NOW, slot) end
    end
  end
end

local function slots_of(node)
  local slots = {}
  for index in string.gmatch(redis.call('HGET', K.node(node), 'slots') or '', '%d+') do
    slots[#slots + 1] = node .. '/' .. index
  end
  return slots
end

-- A node that is gone is remembered for a while; the reaper forgets it, and the store would a little later.
local function expire_node(node)
  redis.call('EXPIRE', K.node(node), LIMITS.node_memory_s + 3600)
  for _, slot in ipairs(slots_of(node)) do redis.call('EXPIRE', K.slot(slot), LIMITS.node_memory_s + 3600) end
end

local function command(node, kind, ...)
  local boot = redis.call('HGET', K.node(node), 'boot')
  return redis.call('XADD', K.commands(node), '*', 'k', kind, 'v', '1', 'boot', boot or '', ...)
end

-- A store that lost or rewound its data has a clock that did not: a fence is never issued twice.
local function next_fence()
  local fence = math.max(tonumber(redis.call('GET', K.fence()) or 0) + 1, NOW_US)
  redis.call('SET', K.fence(), int(fence))
  return int(fence)
end

-- Terminal tasks --------------------------------------------------------------------------------------------------------

-- The records of an ended task's units: those that never ran take the state that the task's end gave them, all get the
-- task's TTL. At most `sweep_max` of them a call; what is left is done by the reaper, and the task's own TTL begins when
-- none is.
local sweep_left = LIMITS.sweep_max

local function sweep(task, first)
  local t = redis.call('HMGET', K.task(task), 'units', 'closed_as')
  local units, closed_as, seconds = tonumber(t[1] or 0), t[2], LIMITS.retention_s
  local past = math.min(units, first + sweep_left)
  sweep_left = sweep_left - (past - first)
  for index = first, past - 1 do
    local unit = task .. '.' .. int(index)
    if closed_as and redis.call('HGET', K.unit(unit), 'state') == 'waiting' then
      redis.call('HSET', K.unit(unit), 'state', closed_as)
    end
    redis.call('EXPIRE', K.unit(unit), seconds)
    redis.call('DEL', K.checkpoint(unit))
  end
  if past < units then
    redis.call('ZADD', K.unswept(), past, task)
    return
  end
  redis.call('ZREM', K.unswept(), task)
  for _, key in ipairs({ K.task(task), K.events(task), K.seen(task), K.found(task) }) do
    redis.call('EXPIRE', key, seconds)
  end
end

-- Webhooks: one line of deliveries a receiver, so that a slow receiver keeps only its own line waiting ------------------

-- A line is called 'tenant|receiver'; its score in `webhooks` is the earliest due time in it.
local function line_key(line) return K.webhook_line(string.match(line, '^(.+)|(.+)$')) end

local function order_line(line)
  local first = redis.call('ZRANGE', line_key(line), 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', K.webhooks(), first[2], line)
  else
    redis.call('ZREM', K.webhooks(), line)
  end
end

local function owe_webhook(line, task, due)
  redis.call('ZADD', line_key(line), due, task)
  order_line(line)
end

local KIND_OF_STATE = { stopped = 'task_stopped', completed = 'task_completed', error = 'task_error' }

local function finish(task, state, reason, detail)
  redis.call('HSET', K.task(task), 'state', state, 'ended', NOW)
  if reason then redis.call('HSET', K.task(task), 'error', reason, 'detail', detail or '') end
  redis.call('ZREM', K.deadlines(), 'queue|' .. task, 'run|' .. task)
  count('tasks_' .. state)
  emit_state(task, KIND_OF_STATE[state], state, reason, detail)
  local line = redis.call('HGET', K.task(task), 'webhook_line')
  if line then owe_webhook(line, task, NOW) end
  sweep(task, 0)
end

-- Task state follows from its units and nothing else.
local function derive(task)
  local t = redis.call('HMGET', K.task(task), 'state', 'paused', 'n_waiting', 'n_queued', 'n_running', 'n_retrying',
                       'n_paused', 'n_completed', 'n_failed', 'units', 'first_error', 'first_detail')
  if TERMINAL[t[1]] then return end
  local running, failed = tonumber(t[5]), tonumber(t[9])
  local active = tonumber(t[3]) + tonumber(t[4]) + running + tonumber(t[6]) + tonumber(t[7])
  if active == 0 then
    if tonumber(t[8]) > 0 or failed == 0 then
      local part = failed > 0 and 'partial' or nil
      finish(task, 'completed', part, part and (failed .. ' of ' .. t[10] .. ' units failed: ' .. (t[12] or '')))
    else
      finish(task, 'error', t[11], t[12])
    end
    return
  end
  local state = 'queued'
  if t[2] == '1' then state = 'paused' elseif running > 0 then state = 'running' end
  if state ~= t[1] then redis.call('HSET', K.task(task), 'state', state) end
end

-- `timeout_s` bounds the time in which at least one unit runs.
local function run_clock(task)
  local t = redis.call('HMGET', K.task(task), 'n_running', 'run_since', 'run_used', 'timeout_ms')
  local running, since, used, timeout = tonumber(t[1]), t[2], tonumber(t[3] or 0), tonumber(t[4])
  if running > 0 and not since then
    redis.call('HSET', K.task(task), 'run_since', NOW)
    if timeout > 0 then redis.call('ZADD', K.deadlines(), NOW + math.max(timeout - used, 0), 'run|' .. task) end
  elseif running == 0 and since then
    redis.call('HDEL', K.task(task), 'run_since')
    redis.call('HSET', K.task(task), 'run_used', int(used + NOW - tonumber(since)))
    redis.call('ZREM', K.deadlines(), 'run|' .. task)
  end
end

-- A unit that says nothing of a page for `idle_ms` hangs, however well its node is.
local function saw_progress(unit) redis.call('ZADD', K.deadlines(), NOW + LIMITS.idle_ms, 'idle|' .. unit) end

-- Leaving `running` -----------------------------------------------------------------------------------------------------

local function left_running(unit, to)
  local task = task_of(unit)
  local lease = redis.call('HMGET', K.unit(unit), 'slot', 'fence')
  log_lease('ended', lease[1], unit, lease[2], to)
  move(unit, 'running', to)
  redis.call('HDEL', K.unit(unit), 'slot', 'fence')
  redis.call('ZREM', K.deadlines(), 'idle|' .. unit)
  local tenant = redis.call('HGET', K.task(task), 'tenant')
  redis.call('HINCRBY', K.tenant(tenant), 'running', -1)
  ring_update_all(tenant)
  run_clock(task)
end

local function bury(unit, reason, detail)
  local task = task_of(unit)
  local u = redis.call('HMGET', K.unit(unit), 'platform', 'query', 'attempts', 'deliveries')
  redis.call('HSET', K.unit(unit), 'error', reason, 'detail', detail, 'ended', NOW)
  redis.call('HSETNX', K.task(task), 'first_error', reason)
  redis.call('HSETNX', K.task(task), 'first_detail', detail)
  redis.call('XADD', K.dead(), 'MAXLEN', '~', 10000, '*', 'unit', unit, 'platform', u[1], 'query', u[2],
             'attempts', u[3] or '0', 'deliveries', u[4] or '0', 'error', reason, 'detail', detail)
  count('dead_letters')
  count('errors:' .. reason)
  log_event(task, 'error', u[2] .. ' was given up: ' .. detail, unit)
end

-- A browser that died under a unit says nothing about the site: the first time it is not waited.
local BROWSER_LOST = { chrome_died = true, chrome_lost = true, driver_lost = true }

-- A running unit goes back: `cost` is 'delivery' (its node was lost), 'attempt' (it failed) or 'none' (handed back).
-- Its slot is the caller's business. `reason` and `detail` are what a dead letter will say.
local function give_back(unit, cost, reason, detail, retryable)
  local task = task_of(unit)
  local spent, allowed = 0, 1
  if cost == 'attempt' then
    spent, allowed = redis.call('HINCRBY', K.unit(unit), 'attempts', 1), LIMITS.max_attempts
  elseif cost == 'delivery' then
    spent, allowed = redis.call('HINCRBY', K.unit(unit), 'deliveries', 1), LIMITS.max_deliveries
  end
  if cost ~= 'none' and (spent >= allowed or not retryable) then
    left_running(unit, 'failed')
    bury(unit, reason, detail)
  elseif redis.call('HGET', K.task(task), 'paused') == '1' then
    left_running(unit, 'paused')
  elseif cost == 'attempt' and not (spent == 1 and BROWSER_LOST[reason]) then
    left_running(unit, 'retrying')
    redis.call('ZADD', K.retries(), NOW + LIMITS.backoff_ms * 2 ^ (spent - 1), unit)
    count('errors:' .. reason)
    log_event(task, 'warning', 'Attempt ' .. spent .. ' failed and will be repeated: ' .. detail, unit)
  else
    left_running(unit, 'queued')
    enqueue(unit)
    if cost == 'attempt' then count('errors:' .. reason) end
    log_event(task, 'warning', 'Queued again: ' .. detail, unit)
  end
  admit(task)
  derive(task)
end

local function slot_holds(slot, unit, fence)
  local s = redis.call('HMGET', K.slot(slot), 'unit', 'fence')
  return s[1] == unit and s[2] == fence
end

-- The node must let go of a unit that it may not run any more; until it confirms, the slot is `releasing`.
local function reclaim(slot, unit, fence, reason)
  if slot and slot_holds(slot, unit, fence) then
    set_slot_state(slot, 'releasing')
    redis.call('ZADD', K.deadlines(), NOW + LIMITS.grace_ms, 'grace|' .. slot .. '|' .. fence)
    command(node_of(slot), 'cancel', 'unit', unit, 'fence', fence, 'reason', reason)
  end
end

local function revoke(unit, to, reason)
  local u = redis.call('HMGET', K.unit(unit), 'slot', 'fence')
  left_running(unit, to)
  reclaim(u[1], unit, u[2], reason)
end

-- All units of a task that is over become `to`, whatever they were. Those that wait are as many as the client likes: they
-- are counted as closed at once, and `sweep` writes it into their records.
local function close_units(task, to, reason)
  local waiting = tonumber(redis.call('HGET', K.task(task), 'n_waiting'))
  if waiting > 0 then
    redis.call('DEL', K.waiting(task))
    redis.call('HSET', K.task(task), 'closed_as', to, 'n_waiting', 0)
    redis.call('HINCRBY', K.task(task), 'n_' .. to, waiting)
    count('units_waiting', -waiting)
    count('units_' .. to, waiting)
    local tenant = redis.call('HGET', K.task(task), 'tenant')
    redis.call('HINCRBY', K.tenant(tenant), 'backlog', -waiting)
    redis.call('HINCRBY', K.tenant(tenant), 'pending', -waiting)
  end
  each_active(task, function(unit, state)
    if state == 'running' then
      revoke(unit, to, reason)
    elseif state == 'queued' then
      dequeue(unit)
      move(unit, 'queued', to)
    elseif state == 'retrying' then
      redis.call('ZREM', K.retries(), unit)
      move(unit, 'retrying', to)
    else
      move(unit, state, to)
    end
  end)
end

local function end_task(task, unit_state, state, reason, detail)
  close_units(task, unit_state, reason or state)
  finish(task, state, reason, detail)
end

-- Dispatch --------------------------------------------------------------------------------------------------------------

local function grant(slot, unit)
  local task = task_of(unit)
  local node = node_of(slot)
  local fence = next_fence()
  local u = redis.call('HMGET', K.unit(unit), 'platform', 'query', 'attempts', 'queued')
  local t = redis.call('HMGET', K.task(task), 'tenant', 'options', 'started')
  unlist_slot(slot)
  for _, label in ipairs(slot_labels(slot)) do redis.call('ZADD', K.busy(label), NOW, slot) end
  move(unit, 'queued', 'running')
  redis.call('HSET', K.unit(unit), 'slot', slot, 'fence', fence, 'seq', 0, 'started', NOW)
  local attempt = tonumber(u[3] or 0) + 1
  if attempt > tonumber(redis.call('HGET', K.task(task), 'attempt') or 0) then
    redis.call('HSET', K.task(task), 'attempt', attempt)
  end
  saw_progress(unit)
  redis.call('HINCRBY', K.tenant(t[1]), 'running', 1)
  ring_update_all(t[1])
  redis.call('ZREM', K.deadlines(), 'queue|' .. task)
  run_clock(task)

  local checkpoint, flat = {}, redis.call('HGETALL', K.checkpoint(unit))
  for i = 1, #flat, 2 do checkpoint[flat[i]] = flat[i + 1] end
  local id = command(node, 'run', 'unit', unit, 'fence', fence, 'slot', slot_index(slot), 'platform', u[1], 'query', u[2],
                     'options', t[2], 'checkpoint', cjson.encode(checkpoint), 'attempt', attempt)
  set_slot_state(slot, 'leased')
  redis.call('HSET', K.slot(slot), 'unit', unit, 'fence', fence, 'granted', NOW, 'granted_id', id)
  log_lease('granted', slot, unit, fence)

  redis.call('HSET', K.task(task), 'current_query', u[2], 'current_platform', u[1])
  if not t[3] then
    redis.call('HSET', K.task(task), 'started', NOW, 'state', 'running')
    emit_state(task, 'task_started', 'running')
  end
  derive(task)
  count('grants')
  count('wait_ms', NOW - tonumber(u[4] or NOW))
end

-- Of the labels that have a free slot, the one whose first tenant has waited for its turn the longest: no label can keep
-- another one from slots that fit both. Returns slot, tenant, label.
local function next_turn(labels)
  local slot, tenant, label, oldest
  for _, each in ipairs(labels) do
    local free = redis.call('ZRANGE', K.free(each), 0, 0)[1]
    local first = free and redis.call('ZRANGE', K.ring(each), 0, 0, 'WITHSCORES') or {}
    if first[1] and (not oldest or tonumber(first[2]) < oldest) then
      slot, tenant, label, oldest = free, first[1], each, tonumber(first[2])
    end
  end
  return slot, tenant, label
end

-- The tenant whose turn it is, its first unit, a free slot that fits. Called by every script that can make a slot or a
-- unit available; at most `dispatch_max` grants a call, so that no call holds the store for long.
local function dispatch()
  local labels, left = redis.call('SMEMBERS', K.labels()), LIMITS.dispatch_max
  while left > 0 do
    local slot, tenant, label = next_turn(labels)
    if not slot then break end
    local unit = redis.call('ZPOPMIN', K.queue(label, tenant))[1]
    redis.call('ZADD', K.ring(label), turn_of_served(tenant), tenant)
    grant(slot, unit)
    ring_update(label, tenant)
    left = left - 1
  end
end

-- Ingest: every entry of a node's `out` is applied once, in order ------------------------------------------------------

-- Moves the node's cursor to `entry`; false when it was there already: another replica applied it. Whoever writes is
-- known, also one that the store has lost: what is kept of it is removed with it.
local function pass(node, entry)
  local cursor = redis.call('HGET', K.node(node), 'cursor')
  if cursor and not id_after(entry, cursor) then return false end
  redis.call('HSET', K.node(node), 'cursor', entry)
  redis.call('ZADD', K.known(), 'GT', (id_pair(entry)), node)
  return true
end

-- As `pass`, for an entry that only the node's present life may write.
local function advance(node, entry, boot)
  if not pass(node, entry) then return 'applied' end
  local n = redis.call('HMGET', K.node(node), 'boot', 'state')
  if n[1] ~= boot then
    count('stale_writes')
    return 'stale'
  end
  if n[2] ~= 'down' then redis.call('ZADD', K.nodes(), (id_pair(entry)), node) end
  return 'ok'
end

local function trim_out(node, entry) redis.call('XTRIM', K.out(node), 'MINID', entry) end

-- A unit is this node's to write about only under the fence of its running lease.
local function holds(node, unit, fence)
  local u = redis.call('HMGET', K.unit(unit), 'state', 'fence', 'slot')
  return u[1] == 'running' and u[2] == fence and u[3] and node_of(u[3]) == node
end

-- The node is gone, or gone for us: its leases end, its slots are no longer offered.
local function drop_leases(node, cost, reason, detail)
  for _, slot in ipairs(slots_of(node)) do
    local s = redis.call('HMGET', K.slot(slot), 'unit', 'fence')
    unlist_slot(slot)
    if s[1] and holds(node, s[1], s[2]) then give_back(s[1], cost, reason, detail, true) end
    release(slot)
  end
end
