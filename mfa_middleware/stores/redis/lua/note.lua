-- KEYS: token
-- ARGV: field, value
-- Returns 0 when the token is gone
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
