-- KEYS as in due_put.lua. ARGV: the member, the end of its lease and a half.
local list, again, member, lease = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local now = redis.call('ZSCORE', list, member)
if now and tonumber(now) == tonumber(lease) then
  local at = redis.call('HGET', again, member)
  if at then
    redis.call('ZADD', list, at, member)
    redis.call('HDEL', again, member)
  else
    redis.call('ZREM', list, member)
  end
end
return 1
