-- A task that is not over, from schema 1 to 2: its active units, the idle deadlines of those that run, its platforms.
-- Makes the same of it however often it is called. At most 1,000 units, about 2 µs each.
-- KEYS: root. ARGV: task, how long a unit may say nothing (ms). Returns 'ok' | 'done', when the store is up to date
local task = ARGV[1]
if redis.call('GET', K.schema()) ~= '1' then return 'done' end
local clock = redis.call('TIME')
local due = string.format('%.0f', tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000) + tonumber(ARGV[2]))

redis.call('DEL', K.active(task))
for index = 0, tonumber(redis.call('HGET', K.task(task), 'units')) - 1 do
  local unit = string.format('%s.%.0f', task, index)
  local state = redis.call('HGET', K.unit(unit), 'state')
  if state == 'queued' or state == 'running' or state == 'retrying' or state == 'paused' then
    redis.call('SADD', K.active(task), string.format('%.0f', index))
  end
  if state == 'running' then redis.call('ZADD', K.deadlines(), due, 'idle|' .. unit) end
end

local platforms = {}
for _, name in ipairs(redis.call('HKEYS', K.task(task))) do platforms[#platforms + 1] = string.match(name, '^p:(.+)$') end
redis.call('HSET', K.task(task), 'platforms', table.concat(platforms, ','))
return 'ok'
