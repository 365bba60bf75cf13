-- KEYS: sendings
-- ARGV: how many are allowed, the window in milliseconds
-- Returns the milliseconds to wait; 0 when it is allowed. A lost reply that is asked for again counts twice: safe.
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if n > tonumber(ARGV[1]) then return math.max(redis.call('PTTL', KEYS[1]), 1) end
return 0
