#!/usr/bin/env bash
# Makes the Debian packages (target/debian/*.deb) of a build profile, release unless another one is
# named, and tries them: lintian, and a command through what they install. It needs cargo-deb
# (cargo install cargo-deb --locked), and a Debian to try them.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-release}
target=${CARGO_TARGET_DIR:-target}
case $profile in dev) built=$target/debug ;; *) built=$target/$profile ;; esac
scratch=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# A condition that is soon so.
await() {
    for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    fail "not so within 30 s: $*"
}

cargo build --locked --profile "$profile" -p server -p client --bins
rm -rf "$built/package"
"$built/pecking-server" package-files "$built/package/pecking-server"
"$built/pecking" package-files "$built/package/pecking"
version=$("$built/pecking-server" --version | cut -d' ' -f2)
for package in server client; do
    grep -qm1 "($version-1)" $package/debian/changelog ||
        fail "$package/debian/changelog does not begin with version $version"
    cargo deb --locked --profile "$profile" -p $package --no-build --output "$scratch/"
done
mkdir -p "$target/debian"
cp "$scratch"/*.deb "$target/debian/"
ls -l "$target/debian/"

if command -v lintian >/dev/null; then
    lintian --fail-on error --allow-root --suppress-tags bogus-mail-host "$scratch"/*.deb
else
    echo "skipped: lintian is not installed (apt-get install lintian)"
fi

root=$scratch/root
mkdir "$root"
for deb in "$scratch"/*.deb; do dpkg-deb -x "$deb" "$root"; done
for file in usr/bin/pecking{,-server} usr/share/man/man1/pecking{,-work,-server,-server-auth}.1.gz \
    usr/share/bash-completion/completions/pecking{,-server} \
    usr/share/zsh/vendor-completions/_pecking{,-server} \
    usr/share/fish/vendor_completions.d/pecking{,-server}.fish \
    etc/pecking/{server,agent,policy}.toml; do
    test -s "$root/$file" || fail "no package has $file"
done
for unit in pecking-server.service pecking-server.socket pecking-agent.service; do
    find "$root" -name $unit | grep -q . || fail "no package has $unit"
done
for deb in "$scratch"/*.deb; do
    dpkg-deb -I "$deb" conffiles | grep -q ^/etc/pecking/ || fail "$deb has no conffiles"
done
if command -v systemd-analyze >/dev/null; then
    units=$(find "$root" -name '*.service' -o -name '*.socket')
    # The programs of the units are not where they will be.
    said=$(systemd-analyze verify $units 2>&1 | grep -v 'is not executable: No such file' || true)
    test -z "$said" || fail "systemd-analyze: $said"
fi

# What the packages install serves, joins and executes by its files, as the units run it.
server=$root/usr/bin/pecking-server client=$root/usr/bin/pecking
sed 's|^#listen = .*|listen = "127.0.0.1:0"|' "$root/etc/pecking/server.toml" >"$scratch/server.toml"
"$server" --config "$scratch/server.toml" >"$scratch/said" 2>"$scratch/log" &
serving=$!
await grep -q '^Listening on ' "$scratch/said"
address=$(sed -n 's/^Listening on //p' "$scratch/said")
cat >"$scratch/policy.toml" <<POLICY
[commands.uptime]
run = ["/bin/echo", "installed"]
POLICY
sed -e "s|^#server = .*|server = \"$address\"|" -e 's|^#name = .*|name = "web1"|' \
    -e "s|^#policy = .*|policy = \"$scratch/policy.toml\"|" "$root/etc/pecking/agent.toml" >"$scratch/agent.toml"
"$client" work --wait --config "$scratch/agent.toml" 2>>"$scratch/log" &
working=$!
said=$("$client" run --server "$address" --wait-for 1 -- uptime)
test "$said" = "installed" || fail "run printed: $said"
kill $working
wait $working
kill $serving
wait $serving
echo "the packages install and run"
