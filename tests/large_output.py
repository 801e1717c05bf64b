#!/usr/bin/env python3
# About 2 minutes: 10 GiB of each kind of output through `pecking run`, compared byte by byte (`large_output.py 256` takes MiB).
"""A server, an executor and a sender, each a process of its own, built for release.

Prints for each kind of output how fast it came, and how much memory the three had together at
their peaks beyond what they had before. Ends with 1 where a byte is missing or wrong, or where
that is 64 MiB or more. Needs `seq` and `openssl`.
"""
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MOST_MEMORY = 64 << 20
PIECE = 1 << 20
KINDS = {
    "text": "seq 1000000000 2000000000 | head -c {}",
    "bytes": "openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c {}",
}


def memory(field, processes):
    """The sum of a field of their status, in bytes."""
    status = [pathlib.Path(f"/proc/{p.pid}/status").read_text() for p in processes]
    found = [re.search(rf"^{field}:\s+(\d+) kB", text, re.M) for text in status]
    return sum(int(match[1]) << 10 for match in found if match)


def said(process, pattern):
    """Waits until a process has said on standard error what is looked for."""
    for line in process.stderr:
        if match := re.search(pattern, line):
            return match[0]
    sys.exit(f"a process ended before it said {pattern}")


def whole(stream):
    """A stream in pieces of one size, however it comes."""
    while piece := stream.read(PIECE):
        yield piece


def one(kind, size, programs):
    script = KINDS[kind].format(size)
    started = []

    def start(*words, **more):
        process = subprocess.Popen([programs / words[0], *words[1:]], stderr=subprocess.PIPE, text=True, **more)
        started.append(process)
        return process

    try:
        server = start("pecking-server", "--listen", "127.0.0.1:0", "10", stdout=subprocess.DEVNULL, env={"RUST_LOG": "info"})
        dial = ("--server", said(server, r"127\.0\.0\.1:[1-9]\d*"))
        read, write = os.pipe()
        sender = start("pecking", "run", *dial, "--wait-for", "1", "--", "/bin/sh", "-c", script, stdout=write)
        os.close(write)
        said(sender, "waiting")
        executor = start("pecking", "work", *dial, "--allow-any", "--allow-root")
        said(executor, "joined as")
        before, peak = memory("VmRSS", started), 0
        expected = subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE)
        started.append(expected)
        since, came, same = time.monotonic(), 0, True
        with os.fdopen(read, "rb") as stream:
            for piece in whole(stream):
                same = same and piece == expected.stdout.read(len(piece))
                came += len(piece)
                if came % (64 * PIECE) == 0:
                    peak = max(peak, memory("VmHWM", (server, sender, executor)))
        took = time.monotonic() - since
        same = same and came == size and sender.wait() == 0
        more = max(peak - before, 0)
        print(
            f"{kind}: {came >> 20} MiB in {took:.1f} s, {(came >> 20) / took:.0f} MiB/s, "
            f"{'the same' if same else 'NOT THE SAME'}, {more >> 20} MiB more memory",
            flush=True,
        )
        return same and more < MOST_MEMORY
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def main():
    size = int(sys.argv[1] if len(sys.argv) > 1 else 10240) << 20
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "--bins"], cwd=ROOT, check=True)
    programs = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    sys.exit(not all([one(kind, size, programs) for kind in KINDS]))


if __name__ == "__main__":
    main()
