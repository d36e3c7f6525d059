-- Say which leads an erasure is about, and tell the views; once, whoever found them.
-- Until now a model may have answered about them, and put them onto the results stream once more: `until` moves on. What
-- ingest puts there since the erasure began is none of them.
-- KEYS: erasure (hash), erasures (stream), results (stream), questions to a model (zset), one of them (prefix of hashes)
--       opt-outs (hash), their order (zset), tenant (hash)
-- ARGV: erasure id, lead ids as JSON, digest of the entry that is carried out, then digest, JSON an entry of each lead:
--       a page that does not tell what was opted out must not bring them back
-- Returns 1 when this call said it, 0 when it was known (or the erasure is over).
if redis.call('HGET', KEYS[1], 'state') ~= 'running' or redis.call('HEXISTS', KEYS[1], 'lead_ids') == 1 then
  return 0
end
forget_questions(KEYS[4], KEYS[5], ARGV[2])
if redis.call('HEXISTS', KEYS[6], ARGV[3]) == 1 then
  local clock = redis.call('TIME')
  for i = 4, #ARGV, 2 do
    if redis.call('HSETNX', KEYS[6], ARGV[i], ARGV[i + 1]) == 1 then
      redis.call('ZADD', KEYS[7], string.format('%.0f', tonumber(clock[1]) * 1000), ARGV[i])
    end
  end
  redis.call('HINCRBY', KEYS[8], 'opt_outs', 1)
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[3])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then redis.call('HSET', KEYS[1], 'until', info[i + 1]) end
  end
end
local e = redis.call('HMGET', KEYS[1], 'tenant', 'until')
redis.call('HSET', KEYS[1], 'lead_ids', ARGV[2])
redis.call('XADD', KEYS[2], '*', 'erasure', ARGV[1], 'tenant', e[1], 'lead_ids', ARGV[2], 'until', e[2])
return 1
