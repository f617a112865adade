#!/usr/bin/env bash
# The whole of Farwatch on one machine: Central, one probe, and a pretend site of forty devices on loopback.
#
#   ./examples/demo.sh                 until Ctrl-C
#   ./examples/demo.sh --seconds 120   ends by itself with a summary; exit 0 only when all is well
#
# A second start goes on with the same data (demo-data/; delete it to begin anew). By environment:
#   FARWATCH_DEMO_DATA    where the data is        (demo-data)
#   FARWATCH_HTTP_PORT    console, plain HTTP      (8080)
#   FARWATCH_HTTPS_PORT   console, HTTPS           (8443)
#   FARWATCH_PROBES_PORT  probes: UDP, and TCP     (4433)
#   FARWATCH_SITE_PORT    pretend devices, SNMP    (1161)
#   FARWATCH_SITE_FIRST   first pretend device     (127.30.0.1; the last octet must be 1)
#   FARWATCH_SITE_ARGS    more for pretend-site    (e.g. "--zoo" or "--calm")
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=examples/needs.sh
source "$root/examples/needs.sh"

http_port=${FARWATCH_HTTP_PORT:-8080}
https_port=${FARWATCH_HTTPS_PORT:-8443}
probes_port=${FARWATCH_PROBES_PORT:-4433}
site_port=${FARWATCH_SITE_PORT:-1161}
site_first=${FARWATCH_SITE_FIRST:-127.30.0.1}
data=${FARWATCH_DEMO_DATA:-$root/demo-data}
devices_wanted=40
seconds=

usage() { sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

while (($# > 0)); do
  case $1 in
    --seconds)
      seconds=${2:-}
      [[ $seconds =~ ^[1-9][0-9]*$ ]] || { warn "--seconds takes a whole number"; exit 2; }
      shift 2
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
done

# What this script started: name and process id. Only these are ever ended.
declare -A pids=()
ending=

start() {
  local name=$1
  shift
  # A session of its own: Ctrl-C reaches only this script, which then ends each in order.
  setsid "$@" >>"$data/$name.log" 2>&1 </dev/null 9>&- &
  pids[$name]=$!
}

is_alive() { [[ -n ${pids[$1]:-} ]] && kill -0 "${pids[$1]}" 2>/dev/null; }

# stop NAME: the ordinary way; after fifteen seconds the hard one, which counts as a failure.
stop() {
  local name=$1 pid=${pids[$1]:-} waited=0 status=0
  [[ -n $pid ]] || return 0
  unset "pids[$name]"
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    if ((waited++ == 150)); then
      warn "$name did not stop; it is killed"
      kill -KILL "$pid" 2>/dev/null || true
    fi
    sleep 0.1
  done
  wait "$pid" || status=$?
  if ((status != 0)); then
    warn "$name ended with status $status; its last words ($data/$name.log):"
    tail -n 5 "$data/$name.log" >&2 || true
    return 1
  fi
}

stop_all() {
  local failed=0 name
  for name in probe site central; do
    stop "$name" || failed=1
  done
  return "$failed"
}

# Runs at every end, also of a failed start.
at_exit() {
  local status=$?
  trap '' INT TERM
  stop_all || status=1
  [[ -n $ending ]] && say "stopped; the data is in $data"
  exit "$status"
}

# field NAME: one string or number of a flat JSON object.
field() {
  node -e 'let s = ""; process.stdin.on("data", d => s += d).on("end", () => {
    const v = JSON.parse(s)[process.argv[1]]; if (v === undefined || v === null) process.exit(1); console.log(v) })' "$1"
}

central() { "$bin/farwatch-central" "$@" --config "$data/central.toml"; }

# http_get PATH: the status line of Central's answer.
http_get() {
  (
    exec 3<>"/dev/tcp/127.0.0.1/$http_port" || exit 1
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$1" "$http_port" >&3
    IFS= read -r -t 2 line <&3
    printf '%s\n' "$line"
  ) 2>/dev/null
}

# until_true SECONDS WHAT COMMAND…
until_true() {
  local limit=$1 what=$2 end
  shift 2
  end=$((SECONDS + limit))
  until "$@"; do
    ((SECONDS < end)) || die "$what: not within $limit s (logs: $data/*.log)"
    all_alive || exit 1
    sleep 0.2
  done
}

all_alive() {
  local name
  for name in "${!pids[@]}"; do
    if ! is_alive "$name"; then
      warn "$name has ended by itself; its last words ($data/$name.log):"
      tail -n 10 "$data/$name.log" >&2 || true
      return 1
    fi
  done
}

central_answers() { [[ $(http_get /healthz) == *" 200 "* ]]; }
port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

prepare() {
  need cc gcc libc6-dev || true
  need_rust 1.95
  need_node
  all_there
  # Nobody is connected to the data while it is built; a second demo on the same data is refused.
  mkdir -p "$data"
  chmod 700 "$data"
  exec 9>"$data/lock"
  flock -n 9 || die "a demo already runs on $data (FARWATCH_DEMO_DATA=… for another)"
  build_web "$root" || die "the console could not be built; see above"
  say "building the programs (the first time takes a few minutes)"
  (cd "$root" && cargo build --locked --quiet --workspace)
  bin=${CARGO_TARGET_DIR:-$root/target}/debug
  local port
  for port in "$http_port" "$https_port"; do
    port_is_free "$port" || die "port $port is taken by another program; see --help for how to choose another"
  done
}

write_config() {
  cat >"$data/central.toml" <<END
# Written by demo.sh at each start; examples/central.toml explains every key.
data_dir = "$data/central"
listen_probes = "127.0.0.1:$probes_port"
listen_probes_tcp = "127.0.0.1:$probes_port"
listen_https = "127.0.0.1:$https_port"
listen_http = "127.0.0.1:$http_port"
public_addresses = ["127.0.0.1:$probes_port"]
END
}

# once FILE COMMAND…: the id that the command gives; kept, so that a start which was cut short goes on where it was.
once() {
  local file=$data/$1
  shift
  [[ -s $file ]] || "$@" | field id >"$file.new"
  [[ -s $file ]] || mv "$file.new" "$file"
  cat "$file"
}

# A customer, a site with what the demo's devices need, and a probe that joins it. Once.
set_up() {
  local customer site token
  [[ -f $data/joined ]] && return 0
  customer=$(once customer central customer add "Example Ltd" --json)
  site=$(once site central site add --customer "$customer" "Headquarters" --json)
  central site configure --site "$site" --json \
    --range "${site_first%.*}.0/26" --snmp-port "$site_port" --allow-loopback \
    --credential-v3 "monitor=monitor:SHA-256:look-but-do-not-touch:AES-128:between-you-and-me" \
    --credential-v2c "public=public" --credential-v1 "public-v1=public" >/dev/null
  token=$(central token create --site "$site" --json | field token)
  "$bin/farwatch-probe" join "$token" --data-dir "$data/probe"
  date -u +%FT%TZ >"$data/joined"
}

print_welcome() {
  local link
  say ""
  say "  Console:       http://127.0.0.1:$http_port/"
  if link=$(central setup-link --json 2>/dev/null | field link 2>/dev/null); then
    say "  First sign-in: $link   (works once)"
  fi
  say "  Data:          $data"
  say "  End:           $([[ -n $seconds ]] && echo "by itself after $seconds s, or ")Ctrl-C"
  say ""
}

summary() { central summary --json; }

# Says how discovery goes on until it has found everybody, at most a minute.
watch_discovery() {
  local found=0 now began=$SECONDS
  while ((SECONDS - began < 60 && found < devices_wanted)); do
    [[ -n $seconds ]] && ((SECONDS - began >= seconds)) && break
    all_alive || exit 1
    if now=$(summary 2>/dev/null | field devices 2>/dev/null) && ((now != found)); then
      found=$now
      say "$((SECONDS - began)) s: $found devices found"
    fi
    sleep 1
  done
}

# Prints the summary; fails when anything is not as it should be.
judge() {
  # shellcheck disable=SC2016 # JavaScript's ${…}, not the shell's
  summary | node -e '
    const wanted = Number(process.argv[1]), seconds = Number(process.argv[2]), long = seconds >= 60
    let text = ""
    process.stdin.on("data", d => text += d).on("end", () => {
      const s = JSON.parse(text), wrong = []
      const gaps = Object.entries(s.gaps ?? {})
      console.log(`devices              ${s.devices}`)
      console.log(`samples shown        ${s.samples}`)
      console.log(`gaps by reason       ${gaps.map(([reason, n]) => `${reason} ${n}`).join(", ") || "none"}`)
      console.log(`anchors checked      ${s.anchors.checked} (${s.anchors.mismatched} do not match)`)
      console.log(`probes connected     ${s.probes_connected}`)
      if (s.probes_connected < 1) wrong.push("no probe is connected")
      if (s.devices < (long ? wanted : 1)) wrong.push(`fewer than ${long ? wanted : 1} devices`)
      if (s.samples < 1) wrong.push("no sample is shown")
      if (s.anchors.mismatched > 0) wrong.push("anchors do not match")
      // The second anchor comes a minute after the first, at the next poll, and two make one check.
      if (seconds >= 240 && s.anchors.checked < 1) wrong.push("no anchor was checked")
      // The demo loses requests, takes a device away and restarts its probe. Nothing else may leave a gap.
      const usual = ["no_response", "partial", "probe_off", "probe_restart"]
      for (const [reason, n] of gaps) if (n > 0 && !usual.includes(reason)) wrong.push(`${n} gaps: ${reason}`)
      for (const why of wrong) console.log(`NOT WELL: ${why}`)
      if (wrong.length === 0) console.log("all is well")
      process.exit(wrong.length === 0 ? 0 : 1)
    })' "$devices_wanted" "${seconds:-0}"
}

main() {
  prepare
  trap at_exit EXIT
  trap 'ending=yes; exit 0' INT TERM
  write_config
  start central "$bin/farwatch-central" run --config "$data/central.toml"
  until_true 20 "Central answers" central_answers
  local site_args=()
  read -r -a site_args <<<"${FARWATCH_SITE_ARGS:-}"
  start site "$bin/pretend-site" --first "$site_first" --devices "$devices_wanted" --port "$site_port" \
    --remember "$data/site-opened" --truth "$data/truth.jsonl" "${site_args[@]}"
  set_up
  start probe "$bin/farwatch-probe" run --data-dir "$data/probe"
  local began=$SECONDS
  print_welcome
  watch_discovery
  while all_alive || exit 1; do
    if [[ -n $seconds ]] && ((SECONDS - began >= seconds)); then
      ending=yes
      judge || exit 1
      exit 0
    fi
    # In the background, so that Ctrl-C ends the wait at once.
    sleep 1 &
    wait $! || true
  done
}

main
