-- Put entries on a tenant's opt-out list and begin to erase what is there already.
-- In one step: ingest refuses a batch that was checked against an older list, so whatever slipped through before this
-- instant stands at or before `until` on the results stream, and nothing slips through after it.
-- KEYS: opt-outs (hash), their order (zset), tenant (hash), results (stream), erasure (hash), open erasures (zset),
--       erasures (stream), questions to a model (zset), one of them (prefix of hashes)
-- ARGV: erasure id, tenant, what is erased (kind), its value ('' when lead ids are given), lead ids as JSON ('' when
--       they must be found first), then digest, JSON an entry
-- Returns the number of entries that are new.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local added = 0
for i = 6, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[2], now, ARGV[i])
    added = added + 1
  end
end
if added > 0 then redis.call('HINCRBY', KEYS[3], 'opt_outs', 1) end

local to = string.format('%.0f-0', now)
if redis.call('EXISTS', KEYS[4]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[4])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then to = info[i + 1] end
  end
end
redis.call('HSET', KEYS[5], 'tenant', ARGV[2], 'kind', ARGV[3], 'until', to, 'state', 'running', 'steps', '',
           'created', string.format('%.0f', now))
if ARGV[4] ~= '' then redis.call('HSET', KEYS[5], 'value', ARGV[4]) end
redis.call('ZADD', KEYS[6], now, ARGV[1])
if ARGV[5] ~= '' then
  forget_questions(KEYS[8], KEYS[9], ARGV[5])
  redis.call('HSET', KEYS[5], 'lead_ids', ARGV[5], 'leads', 1)
  redis.call('XADD', KEYS[7], '*', 'erasure', ARGV[1], 'tenant', ARGV[2], 'lead_ids', ARGV[5], 'until', to)
end
return added
