#!/usr/bin/env bash
# Has systemd itself run the units, sandbox and all, in a root into which both packages are installed and whose
# /etc/pecking names 127.0.0.1:5555: tests/units.sh ROOT. It gets namespaces and a cgroup of its own, and needs root.
set -euo pipefail
root=$1
systemd=/lib/systemd/systemd

# The first process of the namespaces: makes the root its own and becomes systemd.
if [ "${2:-}" = first ]; then
    ip link set lo up
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$root/run"
    # Of what the machine starts itself, nothing.
    rm -rf "$root"/{usr/lib,etc}/systemd/system/*.wants
    printf '[Unit]\nDefaultDependencies=no\n' >"$root/etc/systemd/system/nothing.target"
    mkdir -p "$root/old"
    cd "$root"
    pivot_root . old
    umount -l /old
    export container=other
    exec $systemd --system --unit=nothing.target
fi

fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
skip() { echo "skipped: the units in systemd ($1)"; exit 0; }
[ "$(id -u)" = 0 ] || skip "only root can"
[ -x $systemd ] || skip "there is none"
cgroups=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
cgroup=$cgroups/pecking-units-$$
[ -n "$cgroups" ] && mkdir "$cgroup" 2>/dev/null || skip "no cgroup can be made"
log=$(mktemp)
end() {
    kill -KILL "$first" 2>/dev/null || true
    { wait; } 2>/dev/null
    # All processes in it go with the first one, a moment later.
    for _ in $(seq 50); do
        find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null || true
        if ! [ -d "$cgroup" ]; then break; fi
        sleep 0.1
    done
    rm -f "$log"
}
first=
trap end EXIT

(echo "$BASHPID" >"$cgroup/cgroup.procs"
    exec unshare --pid --mount --ipc --uts --net --cgroup --fork --kill-child \
        bash "$0" "$root" first) >"$log" 2>&1 &
first=$!
within() { nsenter -t "$(pgrep -P "$first")" -m -p -i -u -n -C -r -w timeout 60 "$@"; }
for _ in $(seq 100); do
    if [ "$(within systemctl is-system-running 2>/dev/null)" = running ]; then break; fi
    kill -0 "$first" 2>/dev/null || skip "it does not start here: $(tail -n 1 "$log")"
    sleep 0.2
done

start() { within systemctl start "$1" || fail "$1: $(within systemctl status --no-pager "$1" 2>&1)"; }
of() { within systemctl show --value -p "$1" "$2"; }
start pecking-server
start pecking-agent
for _ in $(seq 100); do
    if within pecking members -o name | grep -qx web1; then break; fi
    sleep 0.2
done
said=$(within pecking run --to web1 -- who </dev/null)
test "$said" = pecking-agent || fail "run printed '$said', and not 'pecking-agent'"
test "$(of StatusText pecking-server)" != "" || fail "the server has no status"
confined=$(within grep -E '^(CapEff:.*[1-9a-f]|NoNewPrivs:.*0|Seccomp:.*0)' "/proc/$(of MainPID pecking-server)/status" || true)
test -z "$confined" || fail "the sandbox has a hole: $confined"
within systemctl reload pecking-server || fail "it does not reload"
before=$(of MainPID pecking-server)
within systemctl stop pecking-server
test "$(of Result pecking-server)" = success || fail "it does not stop well"
# Where systemd listens, the first client starts the server again, and the agent comes back to it.
within sed -i 's|^ListenStream=.*|ListenStream=127.0.0.1:5555|' /usr/lib/systemd/system/pecking-server.socket
within systemctl daemon-reload
start pecking-server.socket
said=$(within pecking run --wait-for 1 -- who </dev/null)
test "$said" = pecking-agent || fail "after a restart run printed '$said'"
test "$(of MainPID pecking-server)" != "$before" || fail "it is the same process"
echo "systemd starts the units in their sandbox"
