-- Reserve a batch, one after the other. Answers `stale` (this lane must be rebuilt), `wait` (that
-- of another partition must be), or `done` and for each request {verdict, reason or state}.
if not lane_is('1') then
  return { 'stale' }
end
for other = 0, request.partitions - 1 do
  local record = redis.call('HGET', P .. ':lanes', tostring(other))
  if not record or string.sub(record, 1, #run) ~= run or string.sub(record, -1) ~= '1' then
    return { 'wait', tostring(other) }
  end
end

local function silent(who, at)
  local since = who and redis.call('HGET', P .. ':silent', who)
  return since and at >= tonumber(string.match(since, '|(.+)$'))
end

local function flooded(r)
  if r.feed and silent(r.carrier, r.at) then
    return 'feed_silent'
  elseif r.incident and silent(r.place, r.at) then
    return 'facility_incident'
  end
  local found
  for _, cause in ipairs(r.causes) do
    local key = touch(':flood:' .. cause.key)
    redis.call('ZADD', key, r.at, p .. '/' .. r.id)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. tostring(r.at - 10 * cause.window))
    local count = redis.call('ZCOUNT', key, '(' .. tostring(r.at - cause.window), tostring(r.at))
    if count > cause.limit then
      found = found or cause.reason
    end
  end
  return found
end

local function capped(r)
  for _, cap in ipairs(r.caps) do
    local count, amount = 1, r.amount
    local given = redis.call('HVALS', P .. ':cap:' .. cap.key)
    for _, entry in ipairs(given) do
      local at, minor = string.match(entry, '^(.+)|(%d+)$')
      if math.abs(tonumber(at) - r.at) < cap.window then
        count, amount = count + 1, amount + tonumber(minor)
      end
    end
    if count > cap.remedies or (r.amount > 0 and amount > cap.amount) then
      return cap.reason
    end
  end
end

local function exhausted(r)
  for _, scope in ipairs(r.scopes) do
    local total = scope.amount
    for _, minor in ipairs(redis.call('HVALS', P .. ':budget:' .. scope.key)) do
      total = total + tonumber(minor)
    end
    if total > scope.limit then
      return scope.reason
    end
  end
end

local function known(fact, at)
  for _, entry in ipairs(redis.call('HVALS', P .. ':fact:' .. fact.key)) do
    if math.abs(tonumber(entry) - at) < fact.window then
      return true
    end
  end
  return false
end

local function unproven(r)
  return r.proof and not known(r.proof, r.at) and 'unproven_complaint' or nil
end

local function cared_for(r)
  return r.care and known(r.care, r.at) and 'high_care' or nil
end

local function reserve(r)
  local state = redis.call('HGET', P .. ':remedies', r.id)
  if state and not (r.again and state == 'held') then
    return { 'already', state }
  end
  local refused, held = r.refuse or unproven(r), nil
  if not refused then
    local flood = flooded(r)
    held = not r.approved and (flood or cared_for(r)) or r.hold
    refused = not held and (capped(r) or exhausted(r)) or nil
  end
  local verdict = refused and 'refused' or held and 'held' or 'reserved'
  enter(r, verdict)
  return { verdict, refused or held or '' }
end

local answers = { 'done' }
for _, r in ipairs(request.wanted) do
  answers[#answers + 1] = reserve(r)
end
return answers
