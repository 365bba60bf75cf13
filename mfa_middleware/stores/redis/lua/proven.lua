-- KEYS: proofs
-- ARGV: fingerprint
-- It writes before it reads: a replica may not, and what it knows may be stale.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms())
return redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
