#!/usr/bin/env bash
# The console in a real browser against a real Central with a real probe and the pretend site, on free ports of loopback.
# The programs and web/dist are built already. Prints what web/e2e/run.mjs prints: its last line is `N passed, N failed`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/debug
data=$(mktemp -d)
pids=()

finish() {
  local status=$? pid
  trap - EXIT
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  ((status == 0)) || tail -n 20 "$data"/*.log >&2 || true
  rm -rf "$data"
  exit "$status"
}
trap finish EXIT

free_port() { node -e 'const s = require("net").createServer(); s.listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'; }
field() { node -e 'let s = ""; process.stdin.on("data", d => s += d).on("end", () => console.log(JSON.parse(s)[process.argv[1]]))' "$1"; }
central() { "$bin/farwatch-central" "$@" --data-dir "$data/central" --json; }

start() {
  local name=$1
  shift
  "$@" >"$data/$name.log" 2>&1 </dev/null &
  pids+=("$!")
}

http=$(free_port)
quic=$(free_port)
snmp=$(free_port)
start site "$bin/pretend-site" --first 127.33.0.1 --port "$snmp" --calm
start central "$bin/farwatch-central" run --data-dir "$data/central" --listen-http "127.0.0.1:$http" \
  --listen-probes "127.0.0.1:$quic" --listen-https off
for _ in $(seq 150); do
  (exec 3<>"/dev/tcp/127.0.0.1/$http") 2>/dev/null && break
  sleep 0.1
done
customer=$(central customer add "Example Ltd" | field id)
site=$(central site add --customer "$customer" "Headquarters" | field id)
central site configure --site "$site" --range 127.33.0.0/26 --snmp-port "$snmp" --allow-loopback --poll-interval 5s \
  --credential-v3 "monitor=monitor:SHA-256:look-but-do-not-touch:AES-128:between-you-and-me" \
  --credential-v2c "public=public" --credential-v1 "older=public" >/dev/null
"$bin/farwatch-probe" join "$(central token create --site "$site" | field token)" --data-dir "$data/probe" >/dev/null
start probe "$bin/farwatch-probe" run --data-dir "$data/probe"
for _ in $(seq 300); do
  (($(central summary | field devices) >= 40)) && break
  sleep 0.2
done

FARWATCH_URL="http://127.0.0.1:$http" FARWATCH_SETUP_LINK=$(central setup-link | field link) FARWATCH_CUSTOMER="Example Ltd" \
  npm --prefix "$root/web" run --silent e2e
