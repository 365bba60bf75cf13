-- KEYS: token, pending, failures, memo of who took the token
-- ARGV: token, record, ttl, pending logins allowed, known failures, known lock, prefix of token keys
if redis.call('EXISTS', KEYS[4]) == 1 then return end -- used before: this request comes late, after its repetition
if redis.call('HSETNX', KEYS[1], 'record', ARGV[2]) == 0 then return end -- done before: the reply was lost

local ttl, allowed = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('PEXPIRE', KEYS[1], ttl)
local pending = redis.call('RPUSH', KEYS[2], ARGV[1])
keep(KEYS[2], ttl)

if pending > allowed then -- among them may be tokens that were used, found wrong, or expired
  for _, token in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
    if redis.call('EXISTS', ARGV[7] .. token) == 0 then
      pending = pending - redis.call('LREM', KEYS[2], 1, token)
    end
  end
  for _ = 1, pending - allowed do redis.call('DEL', ARGV[7] .. redis.call('LPOP', KEYS[2])) end
end

local known, known_lock = tonumber(ARGV[5]), tonumber(ARGV[6])
if known > 0 or known_lock > 0 then
  local n, locked_until = failures_of(KEYS[3])
  keep_failures(KEYS[3], math.max(n, known), later(locked_until, known_lock, now_ms()))
end
