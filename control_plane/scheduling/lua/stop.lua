-- A task is over because its owner says so. Running units are revoked at once; what they still write is refused.
-- ARGV: limits, tenant, task. Returns {'ok', state} · {'unknown'} · {'terminal', state}
local tenant, task = ARGV[2], ARGV[3]
local t = redis.call('HMGET', K.task(task), 'tenant', 'state')
if t[1] ~= tenant then return { 'unknown' } end
if TERMINAL[t[2]] then return { 'terminal', t[2] } end
end_task(task, 'stopped', 'stopped')
dispatch()
return { 'ok', 'stopped' }
