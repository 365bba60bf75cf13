-- Stands before every script. ARGV are strings; times are milliseconds of the server's own clock, so that nodes
-- whose clocks differ agree on what is over.

-- The database keeps the lasting count of failures; here it need only outlive the longest lock.
local FAILURES_LAST = 30 * 86400 * 1000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Let a key live for at least so long.
local function keep(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

-- A user's consecutive failures, and until when they lock.
local function failures_of(key)
  local kept = redis.call('HMGET', key, 'n', 'until')
  return tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
end

local function keep_failures(key, n, locked_until)
  redis.call('HSET', key, 'n', n, 'until', locked_until)
  redis.call('PEXPIRE', key, FAILURES_LAST)
end

-- The later end of two locks: one known by its end, one by what is left of it. None left is no lock that ends now:
-- clocks may go back.
local function later(locked_until, left, now)
  if left > 0 then return math.max(locked_until, now + left) end
  return locked_until
end

-- The lock policy, from five arguments that start at ARGV[i].
local function policy_at(i)
  return {
    budget = tonumber(ARGV[i]),
    seconds = tonumber(ARGV[i + 1]),
    longest = tonumber(ARGV[i + 2]),
    hard = tonumber(ARGV[i + 3]),
    backup = ARGV[i + 4] == '1',
  }
end

-- How long failure number n locks; 0 for those that do not. The same table as LockPolicy.lock_seconds.
local function lock_ms(policy, n)
  if n <= 0 or n % policy.budget ~= 0 then return 0 end
  local doubled = policy.seconds * 2 ^ math.min(n / policy.budget - 1, 32)
  return 1000 * math.min(doubled, math.max(policy.seconds, policy.longest))
end

-- How long a user must wait before an answer is looked at; 0 when it may be.
local function wait_ms(policy, n, locked_until, now)
  local left = math.max(locked_until - now, 0)
  if n >= policy.hard and not policy.backup then return math.max(left, policy.longest * 1000) end
  return left
end

-- Count a failure before the answer is looked at, and lock at once when it is the last of a budget: of parallel
-- guesses no more than the budget is evaluated. A right answer ends it.
local function count_failure(policy, key, n, locked_until, now)
  n = n + 1
  local lock = lock_ms(policy, n)
  if lock > 0 then locked_until = now + lock end
  keep_failures(key, n, locked_until)
  return n
end

-- Keep a fresh proof for ttl under each fingerprint, from ARGV[first] on.
local function keep_proofs(key, ttl, first)
  local now = now_ms()
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  for i = first, #ARGV do redis.call('ZADD', key, now + ttl, ARGV[i]) end
  keep(key, ttl)
end

