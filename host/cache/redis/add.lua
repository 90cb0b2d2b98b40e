-- KEYS[1] is the slot. ARGV: the channel on which changes are told, the field,
-- what to add, and the slot's deadline in milliseconds since 1970. Returns the
-- digits of the sum, since Lua's numbers hold but 53 bits.
local slot, channel, field, delta, expires = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
redis.call('HINCRBY', slot, field, delta)
redis.call('PUBLISH', channel, slot)
local sum = redis.call('HGET', slot, field)
if tonumber(expires) > redis.call('PEXPIRETIME', slot) then
  redis.call('PEXPIREAT', slot, expires)
end
return sum
