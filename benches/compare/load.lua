-- wrk's script: sends the requests of one case in turn, and prints one line of figures at the end.
-- Arguments: a file with one key a line ("-" for no key); where the key goes, "header" or "query";
-- "close" for a new connection per request; how many bytes a request brings; and how many requests differ (0: one for each key).

local requests, turn = {}, 0

function init(arguments)
   local keys, place, connection = arguments[1], arguments[2], arguments[3]
   local body, different = tonumber(arguments[4]), tonumber(arguments[5])
   if body > 0 then wrk.method, wrk.body = "POST", string.rep("x", body) end
   if connection == "close" then wrk.headers["Connection"] = "close" end
   if keys == "-" then
      requests[1] = wrk.format()
   else
      local list = {}
      for key in io.lines(keys) do list[#list + 1] = key end
      for number = 1, math.max(#list, different) do
         local key = list[(number - 1) % #list + 1]
         if different > 0 then wrk.headers["X-Number"] = string.format("%06d", number) end
         if place == "query" then
            requests[#requests + 1] = wrk.format(nil, wrk.path .. "?a=1&api_key=" .. key .. "&b=2")
         else
            wrk.headers["X-Api-Key"] = key
            requests[#requests + 1] = wrk.format()
         end
      end
   end
end

function request()
   turn = turn % #requests + 1
   return requests[turn]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '\nFIGURES {"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "p50_us": %d, "p99_us": %d}\n',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
