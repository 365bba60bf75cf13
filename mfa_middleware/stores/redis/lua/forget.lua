-- KEYS: pending, proofs, failures
-- ARGV: prefix of token keys, whether to forgive
for _, token in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do redis.call('DEL', ARGV[1] .. token) end
redis.call('DEL', KEYS[1], KEYS[2])
if ARGV[2] == '1' then redis.call('DEL', KEYS[3]) end
