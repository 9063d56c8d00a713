-- Common to all scripts. KEYS[1] is the prefix; every key begins with it, and with braces around
-- it all of them share one slot of a Redis Cluster. ARGV[1] is the request as JSON.
--
--   :lanes          hash   partition -> run|token|offset|ready
--   :remedies       hash   remedy id -> state
--   :budget:SCOPE   hash   r/partition -> reserved, s/partition -> spent (minor units)
--   :cap:WHO        hash   partition/remedy id -> decided_at|amount
--   :flood:CAUSE    zset   partition/remedy id by decided_at
--   :fact:WHAT      hash   partition/remedy id -> decided_at
--   :silent         hash   carrier, or carrier/facility -> partition|since
--   :ids:PARTITION, :keys:PARTITION   sets: what a rebuild of that partition takes away
--
-- What a partition contributed stands under its own number, so that its owner can replace it
-- without touching what others contributed. `run` is the id of this very server process: after a
-- restart or a failover no lane is ready until its owner has rebuilt it.
local P = KEYS[1]
local request = cjson.decode(ARGV[1])
local p = tostring(request.partition)
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')

local function lane_record(offset, ready)
  return run .. '|' .. request.token .. '|' .. tostring(offset) .. '|' .. ready
end

local function lane_is(ready)
  return redis.call('HGET', P .. ':lanes', p) == lane_record(request.offset, ready)
end

local function set_lane(offset, ready)
  redis.call('HSET', P .. ':lanes', p, lane_record(offset, ready))
end

local function touch(key)
  redis.call('SADD', P .. ':keys:' .. p, key)
  return P .. key
end

local function remember(id, state)
  redis.call('HSET', P .. ':remedies', id, state)
  redis.call('SADD', P .. ':ids:' .. p, id)
end

local RESERVING = { reserved = true, sent = true, unknown = true, parked = true }

-- Enter what a remedy in a state takes from budgets and caps, and that it was asked for at all.
local function enter(r, state)
  local member = p .. '/' .. r.id
  for _, cause in ipairs(r.causes) do
    redis.call('ZADD', touch(':flood:' .. cause.key), r.at, member)
  end
  for _, mark in ipairs(r.marks or {}) do
    redis.call('HSET', touch(':fact:' .. mark), member, tostring(r.at))
  end
  if RESERVING[state] or state == 'issued' then
    local field = (state == 'issued' and 's/' or 'r/') .. p
    for _, scope in ipairs(r.scopes) do
      redis.call('HINCRBY', touch(':budget:' .. scope.key), field, scope.amount)
    end
    for _, cap in ipairs(r.caps) do
      redis.call('HSET', touch(':cap:' .. cap.key), member, tostring(r.at) .. '|' .. r.amount)
    end
  end
  remember(r.id, state)
end
