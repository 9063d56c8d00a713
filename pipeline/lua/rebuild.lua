-- Replace what one partition contributed, in steps that no reservation can come between: while a
-- lane is not ready, nobody reserves.
--
--   begin   not ready any more; `behind` when somebody has written more of this ledger than we
--   clear   take a part of what is there away; answers how much is left
--   load    enter some accounts and silent feeds
--   finish  ready
if request.step == 'begin' then
  local record = redis.call('HGET', P .. ':lanes', p)
  local there, offset = string.match(record or '', '^(%w+)|[^|]*|(%d+)|')
  if there == run and tonumber(offset) > request.offset then
    return 'behind'
  end
  set_lane(request.offset, '0')
  return 'done'
end
if not lane_is('0') then
  return 'stale'
end

local function drop_from(key)
  local name = P .. key
  if string.sub(key, 1, 8) == ':budget:' then
    redis.call('HDEL', name, 'r/' .. p, 's/' .. p)
    return
  end
  local sorted = string.sub(key, 1, 7) == ':flood:'
  local members = sorted and redis.call('ZRANGE', name, 0, -1) or redis.call('HKEYS', name)
  for _, member in ipairs(members) do
    if string.sub(member, 1, #p + 1) == p .. '/' then
      redis.call(sorted and 'ZREM' or 'HDEL', name, member)
    end
  end
end

local function clear()
  for _, key in ipairs(redis.call('SPOP', P .. ':keys:' .. p, 500)) do
    drop_from(key)
  end
  for _, id in ipairs(redis.call('SPOP', P .. ':ids:' .. p, 500)) do
    redis.call('HDEL', P .. ':remedies', id)
  end
  local feeds = redis.call('HGETALL', P .. ':silent')
  for i = 1, #feeds, 2 do
    if string.sub(feeds[i + 1], 1, #p + 1) == p .. '|' then
      redis.call('HDEL', P .. ':silent', feeds[i])
    end
  end
  return tostring(redis.call('SCARD', P .. ':keys:' .. p) + redis.call('SCARD', P .. ':ids:' .. p))
end

if request.step == 'clear' then
  return clear()
elseif request.step == 'load' then
  for _, r in ipairs(request.accounts) do
    enter(r, r.state)
  end
  for _, feed in ipairs(request.silent) do
    redis.call('HSET', P .. ':silent', feed.carrier, p .. '|' .. tostring(feed.since))
  end
else
  set_lane(request.offset, '1')
end
return 'done'
