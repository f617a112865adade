#!/bin/sh
# Installs a Farwatch probe on this machine and joins it to Central:
#
#   sh farwatch-install.sh [--name NAME] TOKEN
#
# Central fills in its address and its programs' checksums when it serves this. The command that a technician pastes
# holds this file's own checksum, so that neither the way here nor the server's certificate has to be trusted.
# Without TOKEN it only renews the program and the unit.
#
# It changes: /usr/local/bin/farwatch-probe, /etc/farwatch/, /var/lib/farwatch-probe/, the user farwatch-probe, and with
# systemd /etc/systemd/system/farwatch-probe.service.
set -eu

url=@CONSOLE@
program=/usr/local/bin/farwatch-probe
config=/etc/farwatch
data=/var/lib/farwatch-probe
unit=/etc/systemd/system/farwatch-probe.service
user=farwatch-probe

fail() {
  printf 'farwatch: %s\n' "$*" >&2
  exit 1
}

usage() {
  printf 'usage: sh %s [--name NAME] [TOKEN]\n' "$0" >&2
  exit 2
}

name='' token=''
while [ $# -gt 0 ]; do
  case $1 in
    --name)
      [ $# -ge 2 ] || usage
      name=$2
      shift 2
      ;;
    fwj1_*)
      token=$1
      shift
      ;;
    *) usage ;;
  esac
done

[ "$(id -u)" = 0 ] || fail "this needs root: a user, a unit and a program are installed (put sudo before sh, or be root)"
[ "$(uname -s)" = Linux ] || fail "the probe runs on Linux; this is $(uname -s)"
case $(uname -m) in
  x86_64 | amd64) arch=x86_64 ;;
  aarch64 | arm64) arch=aarch64 ;;
  *) fail "there is no probe for $(uname -m), only for x86_64 and aarch64" ;;
esac
sum=''
case $arch in
@CHECKSUMS@
esac
[ -n "$sum" ] || fail "this Central has no probe for $arch; its admin can put one there (README, \"Installing Central\")"
command -v sha256sum >/dev/null || fail "sha256sum is missing (package coreutils)"
if [ -n "$token" ] && [ -e "$data/certificate.pem" ]; then
  fail "this machine's probe has joined already ($data/certificate.pem); to join anew, move $data away first"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# 1. The program, and proof that it is the one that the command names. The certificate proves nothing beyond that.
if command -v curl >/dev/null; then
  curl -fsSk --max-time 300 -o "$work/farwatch-probe" "$url/download/farwatch-probe?arch=$arch" ||
    fail "the program could not be fetched from $url"
elif command -v wget >/dev/null; then
  wget -q --no-check-certificate -T 300 -O "$work/farwatch-probe" "$url/download/farwatch-probe?arch=$arch" ||
    fail "the program could not be fetched from $url"
else
  fail "neither curl nor wget is there: apt-get install curl"
fi
printf '%s  %s\n' "$sum" "$work/farwatch-probe" | sha256sum -c - >/dev/null 2>&1 ||
  fail "what $url sent is not the program that this script names; nothing was changed"

# 2. A user of its own, who can sign in nowhere.
if ! id "$user" >/dev/null 2>&1; then
  if command -v useradd >/dev/null; then
    useradd --system --user-group --home-dir "$data" --no-create-home --shell /usr/sbin/nologin "$user"
  else
    addgroup -S "$user" 2>/dev/null || true
    adduser -S -D -H -h "$data" -s /sbin/nologin -G "$user" "$user"
  fi
fi

# 3. Places. What stands in /etc stays root's; the data is the probe's alone.
mkdir -p "$config" "$data" "${program%/*}"
chmod 0755 "$config"
chown "$user:$user" "$data"
chmod 0700 "$data"
if [ ! -e "$config/probe.toml" ]; then
  printf '# Nothing is needed here. Every key with its default: examples/probe.toml\n' >"$config/probe.toml"
  chmod 0644 "$config/probe.toml"
fi
chmod 0755 "$work/farwatch-probe"
# Beside its place first, so that the exchange is one step even under a running probe.
cp "$work/farwatch-probe" "$program.new"
mv -f "$program.new" "$program"

# 4. Who it is: its key is made here and never leaves.
as_probe() {
  if command -v runuser >/dev/null; then
    runuser -u "$user" -- "$@"
  else
    # shellcheck disable=SC2016 # the inner shell's "$@"
    su -s /bin/sh -c 'exec "$@"' -- "$user" sh "$@"
  fi
}
if [ -n "$token" ]; then
  if [ -n "$name" ]; then
    as_probe "$program" join "$token" --data-dir "$data" --name "$name"
  else
    as_probe "$program" join "$token" --data-dir "$data"
  fi || fail "joining failed; see above. A token works once and not for long: make a new one and run the new command"
fi

# 5. Start it, now and at every boot.
if [ ! -d /run/systemd/system ]; then
  cat <<END

farwatch: installed, but this machine has no systemd. To start the probe now, and at every boot from the init system
that is there, run this as root:

  setcap cap_net_raw+ep $program
  su -s /bin/sh $user -c 'exec $program run --config $config/probe.toml --data-dir $data'
END
  exit 0
fi
cat >"$unit" <<'END'
@UNIT@
END
chmod 0644 "$unit"
systemctl daemon-reload
systemctl enable --quiet farwatch-probe.service
systemctl restart farwatch-probe.service
printf 'farwatch: the probe runs. How it fares: farwatch-probe status; its log: journalctl -u farwatch-probe\n'
