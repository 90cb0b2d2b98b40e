-- KEYS: a due-list, by moment in milliseconds; and to what moment its members
-- were put while they were given out. A member that is given out stands in the
-- list at the end of its lease and a half. ARGV: the member, the moment,
-- whether to write even where nothing changes ("1": replication is waited for).
local list, again, member, at, touch = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local function put(score)
  if touch == '1' then redis.call('ZREM', list, member) end
  redis.call('ZADD', list, score, member)
end
local now = redis.call('ZSCORE', list, member)
if not now then
  put(at)
  return 1
end
local stands, wanted = tonumber(now), tonumber(at)
if stands == math.floor(stands) then
  put(wanted < stands and at or now)
elseif wanted < math.floor(stands) then
  redis.call('HDEL', again, member)
  put(at)
else
  local before = redis.call('HGET', again, member)
  if before and tonumber(before) < wanted then at = before end
  redis.call('HSET', again, member, at)
end
return 1
