-- announce
-- A replica lives, and the store is still the one it knows. A replica's entry is raised by itself alone: one that is
-- lower than it was told the last time, or gone, means that the store was set back. As one that came back empty does, it
-- gets another epoch then.
-- ARGV: limits, replica, the epoch it knows ('' for none), what it was told last (ms, 0 for nothing), an epoch that
--       nobody has used, how long a replica may be silent (ms).
-- Returns {epoch, '1' when this call began it, what to say the next time, a replica that lives …}
local replica, known, told = ARGV[2], ARGV[3], tonumber(ARGV[4])
local epoch = redis.call('GET', K.epoch())
local said = tonumber(redis.call('ZSCORE', K.replicas(), replica) or 0)
local begun = not epoch or (epoch == known and said < told)
if begun then
  epoch = ARGV[5]
  redis.call('SET', K.epoch(), epoch)
end
local now = math.max(NOW, said)
redis.call('ZADD', K.replicas(), now, replica)
redis.call('ZREMRANGEBYSCORE', K.replicas(), '-inf', NOW - LIMITS.node_memory_s * 1000)
return { epoch, begun and '1' or '0', int(now),
         unpack(redis.call('ZRANGEBYSCORE', K.replicas(), NOW - tonumber(ARGV[6]), '+inf')) }
