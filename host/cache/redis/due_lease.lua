-- KEYS as in due_put.lua. ARGV: now and a half, the end of the lease and a
-- half, how many members at most.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do
  redis.call('ZADD', KEYS[1], ARGV[2], member)
  redis.call('HDEL', KEYS[2], member)
end
return due
