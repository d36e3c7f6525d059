-- Stands before every script of erasure.
-- A model that is being asked about the leads has nothing to say about them any more: its answer would bring them back.
local function forget_questions(line, prefix, lead_ids)
  local erased = {}
  for _, lead_id in ipairs(cjson.decode(lead_ids)) do erased[lead_id] = true end
  for _, question in ipairs(redis.call('ZRANGE', line, 0, -1)) do
    if erased[string.match(question, '^[^.]*')] then
      redis.call('DEL', prefix .. question)
      redis.call('ZREM', line, question)
    end
  end
end
