-- KEYS: token, memo of who took it, failures, proofs
-- ARGV: request, how long the memo is kept, whether the failures end, ttl of the proofs, fingerprints …
-- Returns 1 to the one who took it, however often they ask; else 0
if redis.call('DEL', KEYS[1]) == 0 then
  return redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[3] == '1' then redis.call('DEL', KEYS[3]) end
if #ARGV > 4 then keep_proofs(KEYS[4], tonumber(ARGV[4]), 5) end
return 1
