-- wrk's script: sends the requests of one case in turn, and prints one line of figures at the end.
-- Arguments: a file with one key a line ("-" for no key), and "close" for a new connection per request.

local requests, turn = {}, 0

function init(arguments)
   if arguments[2] == "close" then wrk.headers["Connection"] = "close" end
   if arguments[1] == "-" then
      requests[1] = wrk.format()
   else
      for key in io.lines(arguments[1]) do
         wrk.headers["X-Api-Key"] = key
         requests[#requests + 1] = wrk.format()
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
