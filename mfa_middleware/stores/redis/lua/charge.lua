-- KEYS: token, failures
-- ARGV: field of this request, field of what the factor prepared, attempts allowed, lock policy (5)
-- Returns {gate, attempts, failures, milliseconds to wait, record, prepared}
local record, attempts, charged, prepared =
  unpack(redis.call('HMGET', KEYS[1], 'record', 'attempts', ARGV[1], ARGV[2]))
if not record then return {'gone', 0, 0, 0} end

if charged then -- done before: the reply was lost
  local as_attempt, as_failure = string.match(charged, '(%d+) (%d+)')
  return {'open', tonumber(as_attempt), tonumber(as_failure), 0, record, prepared}
end

attempts = tonumber(attempts) or 0
local now, policy = now_ms(), policy_at(4)
local n, locked_until = failures_of(KEYS[2])
local wait = wait_ms(policy, n, locked_until, now)
if wait > 0 then return {'locked', attempts, n, wait} end
if attempts >= tonumber(ARGV[3]) then return {'spent', attempts, n, redis.call('PTTL', KEYS[1])} end

n = count_failure(policy, KEYS[2], n, locked_until, now)
attempts = attempts + 1
redis.call('HSET', KEYS[1], 'attempts', attempts, ARGV[1], attempts .. ' ' .. n)
return {'open', attempts, n, 0, record, prepared}
