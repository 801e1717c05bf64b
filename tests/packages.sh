#!/usr/bin/env bash
# Makes the Debian packages (target/debian/*.deb) and tries them: lintian, systemd's own check of the
# units, and a command through what they install. It needs cargo-deb (cargo install cargo-deb
# --locked). A build profile may be named; without one it is `release`.
set -euo pipefail
cd "$(dirname "$0")/.."

# Mounts are this script's alone, and end with it.
if [ -z "${OWN_MOUNTS:-}" ] && [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
    OWN_MOUNTS=1 exec unshare --mount "$0" "$@"
fi

profile=${1:-release}
built=${CARGO_TARGET_DIR:-target}/$profile
debs=${CARGO_TARGET_DIR:-target}/debian
scratch=$(mktemp -d)
root=$scratch/root
chmod 755 "$scratch"
end() {
    kill $(jobs -p) 2>/dev/null || true
    wait
    mountpoint -q "$root" && umount -R -l "$root"
    rm -rf --one-file-system "$scratch"
}
trap end EXIT

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# Waits until a file has a line.
await() {
    for _ in $(seq 300); do
        if grep -q "$1" "$2"; then return; fi
        sleep 0.1
    done
    fail "no '$1' within 30 s in: $(cat "$2")"
}

cargo build --locked --profile "$profile" -p server -p client --bins
rm -rf "$built/package" "$debs"
for package in pecking-server pecking; do
    "$built/$package" package-files "$built/package/$package"
done
gzip -9n "$built"/package/*/man/*.1
version=$("$built/pecking" --version | cut -d' ' -f2)
for package in server client; do
    grep -qm1 "($version-1)" $package/debian/changelog ||
        fail "$package/debian/changelog has no version $version-1"
    cargo deb --locked --profile "$profile" -p $package --no-build --quiet --output "$debs/"
done
ls -l "$debs"

if command -v lintian >/dev/null; then
    lintian --fail-on error --allow-root "$debs"/*.deb
else
    echo "skipped: lintian (apt-get install lintian)"
fi

# They are installed into this machine's root with all changes kept beside it, so that their scripts
# run; or else into an empty one, without their scripts.
mkdir "$root" "$scratch/changes" "$scratch/work"
if [ -n "${OWN_MOUNTS:-}" ] && mount -t overlay overlay \
    -o "lowerdir=/,upperdir=$scratch/changes,workdir=$scratch/work" "$root" 2>/dev/null; then
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mkdir "$root/debs"
    cp "$debs"/*.deb "$root/debs"
    chroot "$root" sh -c 'dpkg -i /debs/*.deb'
    within=''
    as() { exec chroot --userspec="$1:$1" "$root" "${@:2}"; }
else
    echo "skipped: scripts of the packages (no root here, or no overlay file system)"
    for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$root"; done
    within=$root
    as() { exec "$within${@:2:1}" "${@:3}"; }
fi
for file in usr/share/man/man1/pecking{,-work,-server,-server-auth}.1.gz \
    usr/share/bash-completion/completions/pecking{,-server} \
    usr/share/zsh/vendor-completions/_pecking{,-server} \
    usr/share/fish/vendor_completions.d/pecking{,-server}.fish; do
    test -s "$root/$file" || fail "no package has $file"
done
conffiles=$(for deb in "$debs"/*.deb; do dpkg-deb -I "$deb" conffiles; done)
for file in server agent policy; do
    grep -qx "/etc/pecking/$file.toml" <<<"$conffiles" || fail "/etc/pecking/$file.toml is no conffile"
done
if command -v systemd-analyze >/dev/null; then
    units=$root/usr/lib/systemd/system
    # In a root of its own, a unit's program is not where it will be.
    said=$(systemd-analyze verify --man=no "$units"/pecking-{server.service,server.socket,agent.service} 2>&1 |
        grep pecking | grep -v 'is not executable: No such file' || true)
    test -z "$said" || fail "$said"
fi

# What is installed serves, joins and executes by its files and as its users, as the units run it.
conf=$root/etc/pecking
sed -i 's|^#listen = .*|listen = "127.0.0.1:0"|' "$conf/server.toml"
(as pecking /usr/bin/pecking-server --config "$within/etc/pecking/server.toml") >"$scratch/said" 2>"$scratch/log" &
serving=$!
await '^Listening on ' "$scratch/said"
address=$(sed -n 's/^Listening on //p' "$scratch/said")
printf '[commands.who]\nrun = ["/usr/bin/id", "-un"]\n' >"$conf/policy.toml"
sed -i -e "s|^#server = .*|server = \"$address\"|" -e 's|^#name = .*|name = "web1"|' \
    -e "s|^#policy = .*|policy = \"$within/etc/pecking/policy.toml\"|" "$conf/agent.toml"
(as pecking-agent /usr/bin/pecking work --wait --config "$within/etc/pecking/agent.toml") 2>"$scratch/agent" &
working=$!
await 'joined as web1' "$scratch/agent"
said=$(as "$(id -un)" /usr/bin/pecking run --server "$address" -- who)
if [ -z "$within" ]; then agent=pecking-agent; else agent=$(id -un); fi
test "$said" = "$agent" || fail "run printed '$said', and not '$agent'"
kill $working
wait $working
kill $serving
wait $serving

if [ -z "$within" ]; then
    sed -i 's|^listen = .*|listen = "127.0.0.1:5555"|' "$conf/server.toml"
    sed -i 's|^server = .*|server = "127.0.0.1:5555"|' "$conf/agent.toml"
    tests/units.sh "$root"
    chroot "$root" dpkg --purge pecking pecking-server
    for file in etc/pecking/server.toml etc/pecking/agent.toml usr/bin/pecking; do
        test ! -e "$root/$file" || fail "a purge leaves $file"
    done
fi
echo "the packages install, run and go"
