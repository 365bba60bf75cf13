-- KEYS: proofs, failures
-- ARGV: ttl, whether to forgive, fingerprints …
if ARGV[2] == '1' then redis.call('DEL', KEYS[2]) end
if #ARGV > 2 then keep_proofs(KEYS[1], tonumber(ARGV[1]), 3) end
