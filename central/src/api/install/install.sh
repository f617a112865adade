#!/bin/sh
# Installs the Farwatch probe on this machine and joins it: sh install.sh TOKEN
# Made by Central; run it again to update the program.
set -eu

console=@CONSOLE@
token=${1:-}
data=/var/lib/farwatch-probe

fail() { echo "farwatch: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "run this as root (sudo sh $0 TOKEN)"
arch=$(uname -m)
case "$arch" in
  arm64) arch=aarch64 ;;
  amd64) arch=x86_64 ;;
esac
sum=
case "$arch" in
@CHECKSUMS@
esac
[ -n "$sum" ] || fail "this Central has no probe for $arch: put farwatch-probe-$arch beside it (see README, downloads)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
url="$console/download/farwatch-probe?arch=$arch"
# Central's certificate may be its own CA's; what counts is the checksum below.
if command -v curl >/dev/null 2>&1; then
  curl -fsSk "$url" -o "$work/farwatch-probe" || fail "cannot fetch $url"
elif command -v wget >/dev/null 2>&1; then
  wget -q --no-check-certificate "$url" -O "$work/farwatch-probe" || fail "cannot fetch $url"
else
  fail "curl or wget is needed"
fi
echo "$sum  $work/farwatch-probe" | sha256sum -c - >/dev/null || fail "the download is not what Central has: try again"

id farwatch-probe >/dev/null 2>&1 || useradd --system --home-dir "$data" --shell /usr/sbin/nologin farwatch-probe
install -d -o farwatch-probe -g farwatch-probe -m 0700 "$data"
install -d -m 0755 /etc/farwatch
install -m 0755 "$work/farwatch-probe" /usr/local/bin/farwatch-probe

if [ ! -e "$data/certificate.pem" ]; then
  [ -n "$token" ] || fail "a join token is needed: make one in the console, Add a probe"
  as_probe() {
    if command -v runuser >/dev/null 2>&1; then runuser -u farwatch-probe -- "$@"
    else su -s /bin/sh farwatch-probe -c "$(printf '%s ' "$@")"; fi
  }
  as_probe /usr/local/bin/farwatch-probe join "$token" --data-dir "$data" || fail "joining did not work; see above"
fi

if command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
  cat > /etc/systemd/system/farwatch-probe.service <<'UNIT'
@UNIT@
UNIT
  systemctl daemon-reload
  systemctl enable farwatch-probe >/dev/null
  systemctl restart farwatch-probe
  echo "farwatch: the probe runs; look at it with: journalctl -u farwatch-probe"
else
  echo "farwatch: no systemd here; start it with: farwatch-probe run --data-dir $data"
fi
