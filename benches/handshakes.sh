#!/bin/sh
# CPU of a TLS handshake, keygate beside nginx: both on core 0 with the same certificate (P-256) and one worker, openssl's
# s_time on core 1, one handshake after the other. Prints microseconds of the server's CPU a handshake, in turns, and the
# memory of an idle connection over TLS. KEYGATE=PATH names the binary, SECONDS_EACH how long a turn takes.
set -eu
cd "$(dirname "$0")/.."
keygate=${KEYGATE:-target/release/keygate}
keygate=$(realpath "$keygate")
seconds=${SECONDS_EACH:-4}
folder=$(mktemp -d)
trap 'kill $gate $nginx 2>/dev/null || true; rm -rf "$folder"' EXIT
examples/nginx/self-signed.sh "$folder" localhost
cat >"$folder/keygate.toml" <<EOF
[server]
listen = "127.0.0.1:8643"
workers = 1
[server.tls]
certificates = [{ cert = "fullchain.pem", key = "privkey.pem" }]
[upstreams.a]
addrs = ["127.0.0.1:1"]
[locations.a]
path = "/"
upstream = "a"
public = true
EOF
cat >"$folder/nginx.conf" <<EOF
daemon off; master_process off; error_log stderr; pid nginx.pid; events { worker_connections 20000; }
http { access_log off; server { listen 127.0.0.1:8644 ssl backlog=4096; ssl_certificate fullchain.pem;
ssl_certificate_key privkey.pem; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:a:10m; keepalive_timeout 600;
location / { return 200 x; } } }
EOF
taskset -c 0 "$keygate" --config "$folder/keygate.toml" >"$folder/out" 2>&1 &
gate=$!
PATH=$PATH:/usr/sbin taskset -c 0 nginx -p "$folder" -c nginx.conf -e stderr >"$folder/out2" 2>&1 &
nginx=$!
sleep 1
# ticks PID: its CPU time in hundredths of a second.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }
# turn NAME PID PORT FLAGS...
turn() {
  name=$1 pid=$2 port=$3
  shift 3
  before=$(ticks "$pid")
  made=$(taskset -c 1 openssl s_time -connect "127.0.0.1:$port" -CAfile "$folder/fullchain.pem" -time "$seconds" "$@" 2>/dev/null |
    sed -n 's/^\([0-9]*\) connections in .* real seconds.*/\1/p')
  after=$(ticks "$pid")
  echo "$name $*: $(((after - before) * 10000 / made)) us of CPU a handshake, $made in $seconds s"
}
for round in 1 2 3; do
  for kind in '-new -tls1_3' '-new -tls1_2' '-reuse -tls1_2'; do
    # shellcheck disable=SC2086 # several flags are several words
    turn keygate $gate 8643 $kind
    # shellcheck disable=SC2086
    turn nginx $nginx 8644 $kind
  done
done
python3 - "$gate" 8643 "$nginx" 8644 <<'EOF'
import socket, ssl, sys, time
context = ssl._create_unverified_context()
def kib(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))
for name, pid, port in (("keygate", *sys.argv[1:3]), ("nginx", *sys.argv[3:5])):
    def connect():
        stream = context.wrap_socket(socket.create_connection(("127.0.0.1", int(port))))
        stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        stream.recv(65536)
        return stream
    few = [connect() for _ in range(100)]
    time.sleep(0.5)
    before = kib(pid)
    many = [connect() for _ in range(2000)]
    time.sleep(0.5)
    print(f"{name}: {(kib(pid) - before) / 2000:.1f} KiB for an idle connection over TLS")
    del few, many
EOF
