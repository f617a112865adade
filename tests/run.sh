#!/usr/bin/env bash
# Passes all tests on a fresh Debian or Ubuntu: installs what is missing (or says what), then format, lints, licences,
# Rust tests, the web's checks and tests, one browser test. Each step's time is shown; the last line is
# `N passed, N failed`, and the exit status says the same.
#
#   ./tests/run.sh                 everything
#   ./tests/run.sh rust web        only these steps: format lints licences scripts rust web browser
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=examples/needs.sh
source "$root/examples/needs.sh"
cd "$root" || exit 1

logs=$root/target/tests
passed=0
failed=0
steps=("$@")
((${#steps[@]} > 0)) || steps=(format lints licences scripts web rust browser)
export CARGO_TERM_COLOR=never NO_COLOR=1 CI=${CI:-true}

# want COMMAND PACKAGE WHY: like need, but what needs it is skipped without it.
want() {
  command -v "$1" >/dev/null && return 0
  may_install && say "installing $2 ($3)" && apt_install "$2"
  command -v "$1" >/dev/null || say "NOT HERE: $1 ($3 is skipped): sudo apt-get install -y $2"
}

install_needs() {
  need cc gcc libc6-dev || true
  need_rust 1.95
  need_node
  all_there
  want snmpget snmp "tests against net-snmp's tools"
  want snmpd snmpd "tests against net-snmp's agent"
  /usr/bin/python3 -c "import aiosmtpd" 2>/dev/null || { may_install && apt_install python3-aiosmtpd; } || say "NOT HERE: aiosmtpd (the mail test is left out): sudo apt-get install -y python3-aiosmtpd"
  want tinyproxy tinyproxy "the way through an HTTP proxy"
  want shellcheck shellcheck "the scripts' lints"
  want systemd-analyze systemd "the units' exposure"
  command -v chromium >/dev/null || command -v google-chrome >/dev/null || want chromium chromium "the browser test"
}

# cargo_tool COMMAND CRATE VERSION: built quickly rather than well; kept in ~/.cargo/bin.
cargo_tool() {
  command -v "$1" >/dev/null && return 0
  say "building $2 (once)"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --quiet --locked "$2" --version "$3" && PATH=$PATH:$HOME/.cargo/bin
  command -v "$1" >/dev/null
}

# step NAME LIMIT COMMAND…: runs it, shows its output, keeps it in $log, says how long it took.
step() {
  local name=$1 limit=$2 began=$SECONDS
  shift 2
  log=$logs/$name.log
  printf '\n=== %s\n' "$name"
  timeout --kill-after=10s "$limit" "$@" 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  ((status == 124)) && say "$name: not finished within $limit"
  printf -- '--- %s: %s, %d s\n' "$name" "$( ((status == 0)) && echo ok || echo "failed ($status)")" "$((SECONDS - began))"
}

# Counts the step just run as one.
count_one() { if ((status == 0)); then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }

# count_reported PASSED FAILED: what its own summary says. A step that failed without saying so failed once.
count_reported() {
  passed=$((passed + $1))
  failed=$((failed + $2))
  if ((status != 0 && $2 == 0)); then
    failed=$((failed + 1))
  elif ((status == 0 && $1 + $2 == 0)); then
    say "it ran no test"
    failed=$((failed + 1))
  fi
}

# number_before WORD: adds up the numbers before a word in the lines that stand on input.
number_before() { { grep -oE "[0-9]+ $1" || true; } | awk '{ sum += $1 } END { print sum + 0 }'; }

format() {
  step format 2m cargo fmt --all --check
  count_one
}

lints() {
  step lints 20m cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
  count_one
}

licences() {
  if ! cargo_tool cargo-deny cargo-deny 0.20.2; then
    say "cargo-deny could not be built"
    failed=$((failed + 1))
    return
  fi
  step licences 5m cargo-deny --log-level error check licenses bans sources
  local summary
  summary=$(grep -E '(bans|licenses|sources) (ok|FAILED)' "$log" | tail -n1)
  count_reported "$(grep -oE ' ok' <<<"$summary" | wc -l)" "$(grep -oE ' FAILED' <<<"$summary" | wc -l)"
}

scripts() {
  local script
  if command -v shellcheck >/dev/null; then
    # Central fills in what the install script names by @…@; any value does to read it.
    sed -e 's/^@CHECKSUMS@$/  x86_64) sum=0 ;;/' -e 's|@CONSOLE@|https://central.example.com|' central/src/install.sh \
      >"$logs/install.sh"
    for script in examples/*.sh tests/*.sh .ci/run "$logs/install.sh"; do
      step "shellcheck-$(basename "$script")" 1m shellcheck -x "$script"
      count_one
    done
  fi
  # Offline, it reads the unit alone; the program's path need not exist.
  if command -v systemd-analyze >/dev/null; then
    for script in examples/systemd/*.service; do
      # shellcheck disable=SC2016 # the inner shell's "$1"
      step "exposure-$(basename "$script")" 1m bash -o pipefail -c \
        'systemd-analyze security --no-pager --offline=true --threshold=15 "$1" | sed -n "\$p"' exposure "$script"
      count_one
    done
  fi
}

rust() {
  local summary
  if cargo_tool cargo-nextest cargo-nextest 0.9.143 2>/dev/null; then
    step programs 25m cargo build --workspace --locked --quiet
    count_one
    step rust 25m cargo nextest run --workspace --locked --no-fail-fast --status-level slow --final-status-level fail
    summary=$(grep -E '^ *Summary \[' "$log" | tail -n1)
    count_reported "$(number_before passed <<<"$summary")" \
      "$(($(number_before failed <<<"$summary") + $(number_before 'timed out' <<<"$summary") + $(number_before 'exec failed' <<<"$summary")))"
  else
    step rust 25m cargo test --workspace --locked --no-fail-fast --quiet
    summary=$(grep -E '^test result:' "$log")
    count_reported "$(number_before passed <<<"$summary")" "$(number_before failed <<<"$summary")"
  fi
}

web() {
  [[ -f web/package.json ]] || return 0
  step web-install 10m npm --prefix web ci --no-fund --no-audit --loglevel=error
  count_one
  ((status == 0)) || return 0
  local script summary
  for script in check build budget generate:check; do
    has_script "$script" || continue
    step "web-${script//:/-}" 10m npm --prefix web run --silent "$script"
    count_one
  done
  step web-test 10m npm --prefix web test --silent
  # vitest: "Tests  1 failed | 122 passed (123)"
  summary=$(grep -E '^ *Tests ' "$log" | tail -n1)
  count_reported "$(number_before passed <<<"$summary")" "$(number_before failed <<<"$summary")"
}

# The console in a real browser, against a real Central, a real probe and the pretend site.
browser() {
  [[ -f web/package.json ]] && has_script e2e || return 0
  [[ -d web/node_modules ]] || npm --prefix web ci --no-fund --no-audit --loglevel=error || return 0
  build_web "$root" || { failed=$((failed + 1)); return 0; }
  touch central/src/dashboard.rs # the pages are built into the program
  step browser-programs 25m cargo build --locked --quiet --workspace
  count_one
  step browser 10m ./tests/browser.sh
  local summary
  summary=$(grep -E '[0-9]+ passed' "$log" | tail -n1)
  if [[ -n $summary ]]; then
    count_reported "$(number_before passed <<<"$summary")" "$(number_before failed <<<"$summary")"
  else
    count_one
  fi
}

has_script() { node -e 'process.exit(JSON.parse(require("fs").readFileSync("web/package.json")).scripts?.[process.argv[1]] ? 0 : 1)' "$1"; }

main() {
  local name
  for name in "${steps[@]}"; do
    case $name in
      format | lints | licences | scripts | rust | web | browser) ;;
      *) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
    esac
  done
  install_needs
  mkdir -p "$logs"
  for name in "${steps[@]}"; do "$name"; done
  printf '\n%d s in all; the logs are in %s\n' "$SECONDS" "$logs"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  ((failed == 0 && passed > 0))
}

main
