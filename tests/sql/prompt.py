"""Types into `tollbook sql` as a person does, at a terminal of its own: Ctrl-C ends the question and not the prompt."""

import os
import pty
import select
import sys
import time

PATIENCE_S = 120


def main():
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.argv[1], sys.argv[1:])
    seen = b""

    def until(wanted):
        nonlocal seen
        ends = time.monotonic() + PATIENCE_S
        while wanted not in seen:
            if time.monotonic() > ends:
                sys.exit(f"{wanted!r} does not come after {seen!r}")
            if select.select([terminal], [], [], 1)[0]:
                try:
                    seen += os.read(terminal, 65536)
                except OSError:
                    sys.exit(f"the prompt ended; {wanted!r} does not come after {seen!r}")
        seen = seen[seen.index(wanted) + len(wanted):]

    until(b"tollbook> ")
    os.write(
        terminal,
        b"select count(*) from documentation a, documentation b, documentation c, documentation d"
        b" where a.meaning || b.meaning || c.meaning <> d.meaning;\r",
    )
    # What is drawn while a question takes its time says how long it has been.
    until(b"asking the lake; Ctrl-C stops it")
    os.write(terminal, b"\x03")
    until(b"stopped")
    until(b"tollbook> ")
    os.write(terminal, b"select 6 * 7 as answer;\r")
    until(b"42")
    until(b"1 row in ")
    # Ctrl-C at the prompt leaves it there, Ctrl-D leaves.
    until(b"tollbook> ")
    os.write(terminal, b"\x03")
    until(b"tollbook> ")
    os.write(terminal, b"\x04")
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit(f"the prompt ended with {status}")
    print("in order")


main()
