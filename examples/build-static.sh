#!/usr/bin/env bash
# Builds the programs statically linked: one file each that runs on any Linux of its architecture.
#
#   ./examples/build-static.sh              this machine's architecture, and aarch64 if the toolchain has it
#   ./examples/build-static.sh x86_64       only this one
#
# For each architecture the C library is musl where the toolchain has that target, else glibc (+crt-static; such a
# program resolves names from DNS and /etc/hosts only). They are laid in target/static/ with their checksums:
# farwatch-central-ARCH, farwatch-probe-ARCH, SHA256SUMS; debug/ is for a debugger. By environment:
#   FARWATCH_PROFILE    release, or dev for a quick try     (release)
#   FARWATCH_PACKAGES   what is built                       (farwatch-central farwatch-probe)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=examples/needs.sh
source "$root/examples/needs.sh"

profile=${FARWATCH_PROFILE:-release}
read -r -a packages <<<"${FARWATCH_PACKAGES:-farwatch-central farwatch-probe}"
out=$root/target/static
host=$(uname -m)

# has_target TRIPLE: whether the toolchain can link for it: its standard library is there.
has_target() { [[ -d $(rustc --print target-libdir --target "$1" 2>/dev/null) ]]; }

# c_compiler TRIPLE: the C compiler for it (SQLite, zstd and ring hold C), or nothing.
c_compiler() {
  local candidate candidates
  case $1 in
    "$host"-unknown-linux-gnu) candidates=(cc gcc) ;;
    "$host"-unknown-linux-musl) candidates=(musl-gcc "$host-linux-musl-gcc") ;;
    aarch64-unknown-linux-gnu) candidates=(aarch64-linux-gnu-gcc) ;;
    x86_64-unknown-linux-gnu) candidates=(x86_64-linux-gnu-gcc) ;;
    *-musl) candidates=("${1%%-*}-linux-musl-gcc") ;;
    *) return 1 ;;
  esac
  for candidate in "${candidates[@]}"; do
    command -v "$candidate" && return 0
  done
  return 1
}

# build ARCH: 0 built, 1 failed, 2 cannot be built here (and said why).
build() {
  local arch=$1 triple='' compiler='' candidate
  for candidate in "$arch-unknown-linux-musl" "$arch-unknown-linux-gnu"; do
    if has_target "$candidate" && compiler=$(c_compiler "$candidate"); then
      triple=$candidate
      break
    fi
  done
  if [[ -z $triple ]]; then
    say "$arch: not built. It takes one of"
    if [[ $arch == "$host" ]]; then
      say "  rustup target add $arch-unknown-linux-musl && apt-get install musl-tools"
      say "  apt-get install gcc libc6-dev"
    else
      say "  rustup target add $arch-unknown-linux-gnu && apt-get install gcc-${arch/_/-}-linux-gnu libc6-dev-${arch/aarch64/arm64}-cross"
      say "  rustup target add $arch-unknown-linux-musl and a $arch-linux-musl-gcc"
    fi
    return 2
  fi
  say "$arch: building for $triple with $compiler"
  local upper=${triple//-/_} flags="-C target-feature=+crt-static" arguments=() package folder=$profile program
  [[ $profile == dev ]] && folder=debug
  for package in "${packages[@]}"; do arguments+=(-p "$package"); done
  env "CC_${upper}=$compiler" "CARGO_TARGET_${upper^^}_LINKER=$compiler" "CARGO_TARGET_${upper^^}_RUSTFLAGS=$flags" \
    cargo build --manifest-path "$root/Cargo.toml" --locked --quiet --profile "$profile" --target "$triple" "${arguments[@]}" || return 1
  mkdir -p "$out"
  for program in "${CARGO_TARGET_DIR:-$root/target}/$triple/$folder"/{farwatch-central,farwatch-probe,pretend-site}; do
    [[ -x $program ]] || continue
    is_static "$program" || { warn "$program is not statically linked"; return 1; }
    lay_down "$program" "$out/$(basename "$program")-$arch" "${compiler%gcc}objcopy"
  done
}

# lay_down PROGRAM TO OBJCOPY: without the tables of lines, which are most of it; they lie in debug/ for a debugger.
lay_down() {
  local objcopy=$3 lines
  lines=$out/debug/$(basename "$2").debug
  command -v "$objcopy" >/dev/null || objcopy=objcopy
  mkdir -p "$out/debug"
  if "$objcopy" --only-keep-debug "$1" "$lines" 2>/dev/null &&
    "$objcopy" --strip-debug --add-gnu-debuglink="$lines" "$1" "$2" 2>/dev/null; then
    chmod 0644 "$lines"
  else
    rm -f "$lines"
    cp -f "$1" "$2"
  fi
  chmod 0755 "$2"
}

# No interpreter means that nothing is loaded at start.
is_static() {
  if command -v readelf >/dev/null; then
    [[ $(readelf --program-headers --wide "$1") != *INTERP* ]]
  else
    ! ldd "$1" >/dev/null 2>&1 || ldd "$1" 2>&1 | grep -q 'statically linked'
  fi
}

main() {
  need cc gcc libc6-dev || true
  need_rust 1.95
  [[ " ${packages[*]} " == *" farwatch-central "* ]] && need_node
  all_there
  if [[ " ${packages[*]} " == *" farwatch-central "* ]]; then
    build_web "$root" || die "the console could not be built; see above"
  fi
  local architectures=("$@") arch status failed=0 built=0
  ((${#architectures[@]} > 0)) || architectures=("$host")
  (($# == 0)) && [[ $host != aarch64 ]] && architectures+=(aarch64)
  for arch in "${architectures[@]}"; do
    status=0
    build "$arch" || status=$?
    case $status in
      0) built=$((built + 1)) ;;
      2) (($# == 0)) && [[ $arch != "$host" ]] || failed=1 ;;
      *) failed=1 ;;
    esac
  done
  if ((built > 0)); then
    (cd "$out" && find . -maxdepth 1 -type f -perm -u+x -printf '%f\n' | sort | xargs sha256sum >SHA256SUMS)
    say "in $out:"
    sed 's/^/  /' "$out/SHA256SUMS"
  fi
  exit "$failed"
}

main "$@"
