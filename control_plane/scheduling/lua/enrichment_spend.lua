-- What asking the model costs, by UTC day. A call is paid for before it is made, by the most that it can cost, and set
-- right afterwards: a replica that dies in between has overspent nothing.
-- ARGV: limits, tenant, day ('': today, within the caps), tokens, cost (millionths), most tokens, most tokens of a tenant,
--       most cost (0: no such cap)
-- Returns {day} · {'', the cap that is reached: 'tokens', 'tenant_tokens' or 'cost'}
local tenant, day = ARGV[2], ARGV[3]
local tokens, cost, most, tenant_most, most_cost =
  tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local today = day == ''
if today then day = int(math.floor(NOW / 86400000)) end
local spend = K.enrichment_spend(day)
if today then
  local spent = redis.call('HMGET', spend, 'tokens', 'tokens:' .. tenant, 'cost')
  if tonumber(spent[1] or 0) + tokens > most then return { '', 'tokens' } end
  if tonumber(spent[2] or 0) + tokens > tenant_most then return { '', 'tenant_tokens' } end
  if most_cost > 0 and tonumber(spent[3] or 0) + cost > most_cost then return { '', 'cost' } end
end
redis.call('HINCRBY', spend, 'tokens', int(tokens))
redis.call('HINCRBY', spend, 'tokens:' .. tenant, int(tokens))
redis.call('HINCRBY', spend, 'cost', int(cost))
redis.call('EXPIRE', spend, 2 * 86400)
return { day }
