-- Follow the ledger: remedies have come to new states, feeds have fallen silent or speak again,
-- and the ledger now ends at `reached`. Answers `stale` or `done`.
if not lane_is('1') then
  return 'stale'
end

local function give_back(r)
  for _, scope in ipairs(r.scopes) do
    redis.call('HINCRBY', P .. ':budget:' .. scope.key, 'r/' .. p, -scope.amount)
  end
end

for _, r in ipairs(request.moves) do
  local state = redis.call('HGET', P .. ':remedies', r.id)
  if RESERVING[state] and r.state == 'issued' then
    give_back(r)
    for _, scope in ipairs(r.scopes) do
      redis.call('HINCRBY', touch(':budget:' .. scope.key), 's/' .. p, scope.amount)
    end
  elseif RESERVING[state] and r.state == 'refused' then
    give_back(r)
    for _, cap in ipairs(r.caps) do
      redis.call('HDEL', P .. ':cap:' .. cap.key, p .. '/' .. r.id)
    end
  end
  remember(r.id, r.state)
end
for _, feed in ipairs(request.silent) do
  redis.call('HSET', P .. ':silent', feed.carrier, p .. '|' .. tostring(feed.since))
end
for _, carrier in ipairs(request.speaking) do
  redis.call('HDEL', P .. ':silent', carrier)
end
set_lane(request.reached, '1')
return 'done'
