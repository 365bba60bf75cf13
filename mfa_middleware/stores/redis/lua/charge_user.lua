-- KEYS: failures, memo of this request
-- ARGV: known failures, known lock, how long the memo is kept, lock policy (5)
-- Returns {gate, 0, failures, milliseconds to wait}
local charged = redis.call('GET', KEYS[2])
if charged then return {'open', 0, tonumber(charged), 0} end -- done before: the reply was lost

local now, policy = now_ms(), policy_at(4)
local n, locked_until = failures_of(KEYS[1])
n = math.max(n, tonumber(ARGV[1]))
locked_until = later(locked_until, tonumber(ARGV[2]), now)
local wait = wait_ms(policy, n, locked_until, now)
if wait > 0 then return {'locked', 0, n, wait} end

n = count_failure(policy, KEYS[1], n, locked_until, now)
redis.call('SET', KEYS[2], n, 'PX', ARGV[3])
return {'open', 0, n, 0}
