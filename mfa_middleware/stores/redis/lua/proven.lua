-- KEYS: proofs
-- ARGV: fingerprint
local fresh_until = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 0)
return fresh_until > now_ms() and 1 or 0
