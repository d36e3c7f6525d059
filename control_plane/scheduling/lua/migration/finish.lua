-- A fleet from schema 1 to 2, once its tasks are done: slots are counted and those that work are listed, tenants have
-- their pending units and stand among those who wait. All at once, with the version that says so.
-- KEYS: root. ARGV: since when no replica may have been there (ms), then tenant, its pending units.
-- Returns {'ok'} | {'done'}, when the store is up to date | {'served', replica …}, which were
if redis.call('GET', K.schema()) ~= '1' then return { 'done' } end
local alive = redis.call('ZRANGEBYSCORE', K.replicas(), ARGV[1], '+inf')
if #alive > 0 then return { 'served', unpack(alive) } end

local counted = { free = 0, leased = 0, releasing = 0, broken = 0, down = 0 }
for _, node in ipairs(redis.call('ZRANGE', K.known(), 0, -1)) do
  for index in string.gmatch(redis.call('HGET', K.node(node), 'slots') or '', '%d+') do
    local slot = node .. '/' .. index
    local s = redis.call('HMGET', K.slot(slot), 'state', 'labels', 'granted')
    if s[1] then counted[s[1]] = counted[s[1]] + 1 end
    if s[1] == 'leased' or s[1] == 'releasing' then
      for label in string.gmatch(s[2], '[^,]+') do redis.call('ZADD', K.busy(label), s[3], slot) end
    end
  end
end
for state, number in pairs(counted) do redis.call('HSET', K.counters(), 'slots_' .. state, number) end

for i = 2, #ARGV, 2 do
  local tenant = ARGV[i]
  redis.call('HSET', K.tenant(tenant), 'pending', ARGV[i + 1])
  for _, label in ipairs(redis.call('SMEMBERS', K.labels())) do
    if redis.call('EXISTS', K.queue(label, tenant)) == 1 then redis.call('SADD', K.queued_tenants(label), tenant) end
  end
end
redis.call('SET', K.schema(), '2')
return { 'ok' }
