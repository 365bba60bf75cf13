-- KEYS: requests that sent something within the window
-- ARGV: request, how many are allowed, the window in milliseconds
-- Returns the milliseconds to wait; 0 when it is allowed
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 0 end -- done before: the reply was lost
local sent = redis.call('SCARD', KEYS[1])
if sent >= tonumber(ARGV[2]) then return math.max(redis.call('PTTL', KEYS[1]), 1) end
redis.call('SADD', KEYS[1], ARGV[1])
if sent == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 0
