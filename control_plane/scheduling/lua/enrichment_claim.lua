-- Questions of one tenant to the model become the caller's for the length of a lease: tenants take turns, and a batch
-- never mixes them. What has waited too long is dropped: its leads keep the rules' answer.
-- ARGV: limits, lease (ms), most (0: only drop)
-- Returns {tenant, {{question, HGETALL of it} a claim}, number dropped}; the tenant is '' when nothing was due
local lease, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local taken_of, claimed, dropped = '', {}, 0

-- Two hundred tenants and two hundred questions of each bound the call.
for _, tenant in ipairs(redis.call('ZRANGE', K.enrichment_turns(), 0, 199)) do
  local line = K.enrichment_line(tenant)
  for _, question in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', NOW, 'LIMIT', 0, 200)) do
    local owed = K.enrichment(tenant, question)
    local since = redis.call('HGET', owed, 'since')
    if not since or NOW - tonumber(since) > LIMITS.enrichment_patience_ms then
      redis.call('DEL', owed)
      redis.call('ZREM', line, question)
      if since then dropped = dropped + 1 end
    elseif #claimed >= most then
      break
    else
      redis.call('HINCRBY', owed, 'claim', 1)
      redis.call('ZADD', line, NOW + lease, question)
      claimed[#claimed + 1] = { question, redis.call('HGETALL', owed) }
    end
  end
  if redis.call('EXISTS', line) == 0 then
    redis.call('ZREM', K.enrichment_turns(), tenant)
  elseif #claimed > 0 then
    redis.call('ZADD', K.enrichment_turns(), int(NOW_US), tenant)
  end
  if #claimed > 0 then
    taken_of = tenant
    break
  end
end
return { taken_of, claimed, dropped }
