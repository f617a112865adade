# shellcheck shell=bash
# What a fresh Debian or Ubuntu lacks, installed where we may and named where we may not.
# Sourced by examples/demo.sh, examples/build-static.sh and tests/run.sh; it starts nothing by itself.

farwatch_cache=${XDG_CACHE_HOME:-$HOME/.cache}/farwatch
node_wanted=20.19
missing=()

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
  warn "$*"
  exit 1
}

# as_root COMMAND…: as root, if we may without asking.
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

may_install() { command -v apt-get >/dev/null && as_root true; }

apt_updated=
apt_install() {
  if [[ -z $apt_updated ]]; then
    as_root apt-get update -qq || return 1
    apt_updated=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# need COMMAND PACKAGE…: the packages, if the command is not there.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return 0
  if may_install; then
    say "installing $* (for $command)"
    apt_install "$@" && command -v "$command" >/dev/null && return 0
  fi
  missing+=("$command:  sudo apt-get install -y $*")
  return 1
}

# need_rust VERSION: cargo of at least this version, by rustup if there is none.
need_rust() {
  local wanted=$1
  command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
  if command -v cargo >/dev/null && at_least "$(cargo --version | cut -d' ' -f2)" "$wanted"; then
    return 0
  fi
  if command -v rustup >/dev/null; then
    say "updating Rust with rustup"
    rustup toolchain install stable --profile minimal --component clippy,rustfmt >/dev/null 2>&1 && rustup default stable >/dev/null 2>&1
  elif need curl curl ca-certificates; then
    say "installing Rust with rustup"
    curl --proto '=https' --tlsv1.2 -sSf --max-time 60 https://sh.rustup.rs 2>/dev/null |
      sh -s -- -y --profile minimal --component clippy,rustfmt >/dev/null 2>&1 || true
    PATH=$HOME/.cargo/bin:$PATH
  fi
  hash -r
  if ! command -v cargo >/dev/null || ! at_least "$(cargo --version | cut -d' ' -f2)" "$wanted"; then
    missing+=("cargo >= $wanted:  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh")
  fi
}

# Node and npm for the web build: the system's if new enough, else a copy of our own from the npm registry.
need_node() {
  local own
  own=$farwatch_cache/node/node_modules/node-linux-$(node_arch)/bin
  if node_is_new && command -v npm >/dev/null; then
    return 0
  fi
  [[ -x $own/node ]] && PATH=$own:$PATH
  if ! command -v npm >/dev/null && may_install; then
    say "installing nodejs and npm"
    apt_install nodejs npm || true
  fi
  hash -r
  if ! node_is_new && command -v npm >/dev/null; then
    say "the system's Node is too old: fetching a newer one to $farwatch_cache/node"
    npm install --prefix "$farwatch_cache/node" --no-fund --no-audit --silent "node-linux-$(node_arch)@22" >/dev/null 2>&1 || true
    [[ -x $own/node ]] && PATH=$own:$PATH
    hash -r
  fi
  if ! node_is_new || ! command -v npm >/dev/null; then
    missing+=("node >= $node_wanted with npm:  https://nodejs.org/en/download")
  fi
}

node_is_new() {
  command -v node >/dev/null && at_least "$(node --version | tr -d v)" "$node_wanted"
}

node_arch() {
  case $(uname -m) in
    aarch64) echo arm64 ;;
    *) echo x64 ;;
  esac
}

# at_least HAVE WANTED
at_least() { [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1) == "$2" ]]; }

# Ends with the list, if anything is missing.
all_there() {
  ((${#missing[@]} == 0)) && return 0
  warn "These are missing, and may not be installed from here:"
  printf '  %s\n' "${missing[@]}" >&2
  warn "Then run this again."
  exit 1
}

# Builds web/dist, if its sources have changed since it was built.
build_web() {
  local root=$1 stamp state
  [[ -f $root/web/package.json ]] || return 0
  stamp=$root/target/web-built
  state=$(cd "$root/web" && find . \( -path ./node_modules -o -path ./dist -o -name '*.tsbuildinfo' \) -prune -o -type f -print0 |
    sort -z | xargs -0 cksum | cksum)
  if [[ -f $root/web/dist/index.html && -f $stamp && $(<"$stamp") == "$state" ]]; then
    return 0
  fi
  say "building the console"
  (cd "$root/web" && npm ci --no-fund --no-audit --loglevel=error && npm run --silent build) || return 1
  mkdir -p "$root/target"
  printf '%s\n' "$state" >"$stamp"
}
