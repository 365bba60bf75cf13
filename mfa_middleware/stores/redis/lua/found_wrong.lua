-- KEYS: token
-- ARGV: field of this request, attempts allowed
if redis.call('EXISTS', KEYS[1]) == 0 then return end
if redis.call('HSETNX', KEYS[1], ARGV[1], 1) == 0 then return end -- done before: the reply was lost
-- Right answers may be in flight until every attempt that was allowed has been found wrong.
if redis.call('HINCRBY', KEYS[1], 'wrong', 1) >= tonumber(ARGV[2]) then redis.call('DEL', KEYS[1]) end
