-- Store a value, or delete it, if the stored one is the expected one, and announce it, atomically.
-- An empty value, which nothing decodes, is as good as none.
local key, changes = KEYS[1], KEYS[2]
local expected, value, ttl, announced, writer, max_changes = unpack(ARGV)
if (redis.call("GET", key) or "") ~= expected then return 0 end
if value == "" then redis.call("DEL", key)
elseif ttl == "0" then redis.call("SET", key, value)
else redis.call("SET", key, value, "EX", ttl) end
if announced ~= "" then
  redis.call("XADD", changes, "MAXLEN", "~", max_changes, "*", "by", writer, "name", announced)
end
return 1
