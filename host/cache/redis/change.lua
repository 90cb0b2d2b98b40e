-- KEYS[1] is the slot. ARGV: the channel on which changes are told, the slot's
-- deadline in milliseconds since 1970 (0: leave as it is), whether to write
-- even where nothing changes ("1": replication is waited for), and how many
-- conditions, puts and deletes follow: (name, "1" or "0" for present, value),
-- (name, value), (name).
local slot, channel, expires, touch = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local conditions, puts, deletes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local at = 7
for _ = 1, conditions do
  local now = redis.call('HGET', slot, ARGV[at])
  if ARGV[at + 1] == '1' then
    if now ~= ARGV[at + 2] then return 0 end
  elseif now then
    return 0
  end
  at = at + 3
end
-- Nobody hears of it before the script is through; not to be allowed to tell
-- is an error before anything is written.
if puts + deletes > 0 then redis.call('PUBLISH', channel, slot) end
for _ = 1, puts do
  redis.call('HSET', slot, ARGV[at], ARGV[at + 1])
  at = at + 2
end
for _ = 1, deletes do
  redis.call('HDEL', slot, ARGV[at])
  at = at + 1
end
local old = redis.call('PEXPIRETIME', slot) -- -2: no slot; -1: no deadline yet
if old ~= -2 and expires ~= '0' and tonumber(expires) > old then
  redis.call('PEXPIREAT', slot, expires)
elseif touch == '1' and old > 0 then
  redis.call('PEXPIREAT', slot, string.format('%.0f', old))
elseif touch == '1' and old == -2 then -- nobody sees it in between
  redis.call('HSET', slot, 'touch', '')
  redis.call('DEL', slot)
end
return 1
