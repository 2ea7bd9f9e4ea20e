#!/usr/bin/env python3
"""What the console costs: the first page over a large house, and the live page for each viewer.

    cargo build --release --locked -p tollbook
    tests/web_bench/run.py target/release/tollbook            # 1 000 000 calls, 10 000 accounts, 50 viewers

It makes an installation in a new directory, provisions the accounts, takes the calls in as records of another system, waits until they
are rated and in the lake, and measures by plain HTTP over loopback: from the request to the last byte of a page, and the processor time
of the whole process with viewers of the live page and without. `--keep DIR` leaves the installation for another run, which begins with
the measuring. Nothing beyond Python is needed. It ends what it started."""

import argparse
import datetime
import http.client
import os
import pathlib
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

PASSWORD = "correct horse battery"
PAGES = ["/", "/calls", "/accounts", "/tariffs", "/invoices", "/health"]
# Requests of each page; the first ones warm up.
ROUNDS, WARM = 30, 5
# The database, the log and the lake answer for so long at most.
PATIENCE_SECONDS = 3600

FORMAT = """kind = "csv"
[fields]
key = { from = "key" }
source = { from = "source" }
destination = { from = "destination" }
start = { from = "start" }
duration = { from = "duration" }
account = { from = "account" }
"""

DESTINATIONS = ["4930555%04d", "491512%06d", "431555%04d", "4471234%05d", "120455%05d"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(tollbook, home, *words, text=None):
    done = subprocess.run(
        [tollbook, *words, "--config", str(home / "tollbook.toml")], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def setting(text, section, key, value):
    """Puts a key into a section of the configuration, in place of its commented default."""
    begins = text.index(f"\n[{section}]\n") + len(section) + 4
    return text[:begins] + f"{key} = {value}\n" + text[begins:]


def make(tollbook, home, n_calls, n_accounts):
    subprocess.run([tollbook, "init", str(home)], check=True, capture_output=True)
    config = (home / "tollbook.toml").read_text()
    for section, key in (("switch", "listen"), ("web", "listen"), ("health", "listen"), ("sftp.server", "listen")):
        if f"\n[{section}]\n" in config:
            config = setting(config, section, key, f'"127.0.0.1:{free_port()}"')
    (home / "tollbook.toml").write_text(config)
    run(tollbook, home, "import", str(home / "world.toml"))
    more = home / "more.toml"
    more.write_text("".join(
        f'[[accounts]]\nhandle = "bench-{n}"\nprofile = "retail"\n[accounts.contact]\nname = "Customer {n}"\n'
        f'[[subscribers]]\nusername = "bench-{n}"\ndomain = "sip.meridian.example"\naccount = "bench-{n}"\npassword = "long-enough-{n}"\n'
        for n in range(n_accounts)
    ))
    run(tollbook, home, "import", str(more))
    run(tollbook, home, "user", "add", "bench", "--role", "operator", text=PASSWORD)
    (home / "format.toml").write_text(FORMAT)
    calls = home / "calls.csv"
    # The last thirty days: what the pages look at.
    begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=30)
    step = datetime.timedelta(days=29) / n_calls
    with calls.open("w") as out:
        out.write("key,source,destination,start,duration,account\n")
        for n in range(n_calls):
            to = DESTINATIONS[n % len(DESTINATIONS)] % (n * 7919 % 10_000)
            start = (begin + n * step).isoformat(timespec="milliseconds")
            out.write(f"{n},43512{n % 90_000 + 10_000},{to},{start},{n * 37 % 600},bench-{n * 31 % n_accounts}\n")
    run(tollbook, home, "import", "cdrs", "--source", "bench", "--format", str(home / "format.toml"), str(calls))
    calls.unlink()


class House:
    def __init__(self, tollbook, home):
        config = (home / "tollbook.toml").read_text()
        self.port = int(re.search(r'\n\[web\]\nlisten = "127.0.0.1:(\d+)"', config).group(1))
        self.log = (home / "run.log").open("w")
        self.process = subprocess.Popen(
            [tollbook, "run", "--config", str(home / "tollbook.toml")], stdout=self.log, stderr=subprocess.STDOUT
        )
        self.cookie = ""

    def ask(self, method, path, body=None, headers=None):
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        began = time.perf_counter()
        line.request(method, path, body, {"Cookie": self.cookie, **(headers or {})})
        answer = line.getresponse()
        content = answer.read()
        took = time.perf_counter() - began
        line.close()
        return answer, content, took

    def sign_in(self):
        form = urllib.parse.urlencode({"name": "bench", "password": PASSWORD})
        deadline = time.monotonic() + 120
        while True:
            try:
                answer, _, _ = self.ask("POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
                break
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, "it does not start; see run.log"
                time.sleep(0.2)
        self.cookie = (answer.getheader("set-cookie") or "").split(";")[0]
        assert self.cookie, f"no session: {answer.status}"

    def cpu_seconds(self):
        """Of all threads, to a nanosecond."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def count(self):
        query = urllib.parse.urlencode({"q": "select count(*) from calls"})
        _, content, _ = self.ask("GET", f"/sql.csv?{query}")
        return int(content.decode().split()[-1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


def wait_for_calls(house, n_calls):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (n_there := house.count()) < n_calls:
        assert time.monotonic() < deadline, f"{n_there} of {n_calls} calls are in the lake"
        print(f"  {n_there} of {n_calls} calls are in the lake", flush=True)
        time.sleep(10)
    # What is left to do, such as merging files, is not the pages' doing.
    while True:
        before = house.cpu_seconds()
        time.sleep(10)
        if house.cpu_seconds() - before < 1:
            return


def pages(house):
    print(f"{'page':12} {'median ms':>10} {'p95 ms':>10} {'worst ms':>10} {'kB':>8}")
    first = None
    for page in PAGES:
        took, size = [], 0
        for _ in range(ROUNDS):
            answer, content, seconds = house.ask("GET", page)
            assert answer.status == 200, f"{page}: {answer.status}"
            took.append(seconds * 1000)
            size = len(content)
        took = sorted(took[WARM:])
        p95 = took[int(len(took) * 0.95)]
        print(f"{page:12} {statistics.median(took):10.1f} {p95:10.1f} {took[-1]:10.1f} {size / 1000:8.0f}")
        first = p95 if first is None else first
    return first


def view(house, stop, n_events):
    line = http.client.HTTPConnection("127.0.0.1", house.port, timeout=10)
    line.request("GET", "/figures", headers={"Cookie": house.cookie, "Accept": "text/event-stream"})
    answer = line.getresponse()
    while not stop.is_set():
        if answer.readline().startswith(b"data:"):
            n_events.append(1)
    line.close()


def viewers(house, n_viewers, seconds):
    def cost():
        before, began = house.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (house.cpu_seconds() - before) / (time.monotonic() - began) * 100

    alone = cost()
    stop, n_events = threading.Event(), []
    watching = [threading.Thread(target=view, args=(house, stop, n_events), daemon=True) for _ in range(n_viewers)]
    for one in watching:
        one.start()
    time.sleep(2)
    n_before = len(n_events)
    watched = cost()
    seen = (len(n_events) - n_before) / n_viewers / seconds
    stop.set()
    for one in watching:
        one.join(5)
    each = (watched - alone) / n_viewers
    print(f"{alone:.2f} % of a core without viewers, {watched:.2f} % with {n_viewers}: {each:.3f} % a viewer, {seen:.2f} events a second")
    assert seen > 0.5, "the viewers saw no figures"
    return each


def main():
    # Ended from outside, it ends what it started too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tollbook")
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--keep", metavar="DIR", help="make the installation there, or measure the one that is there")
    asked = parser.parse_args()
    tollbook = os.path.abspath(asked.tollbook)
    with tempfile.TemporaryDirectory() as made:
        home = pathlib.Path(asked.keep or made) / "house"
        if not home.exists():
            began = time.monotonic()
            make(tollbook, home, asked.calls, asked.accounts)
            print(f"{asked.accounts} accounts and {asked.calls} records after {time.monotonic() - began:.0f} s")
        house = House(tollbook, home)
        try:
            house.sign_in()
            wait_for_calls(house, asked.calls)
            first = pages(house)
            each = viewers(house, asked.viewers, asked.seconds)
        finally:
            house.stop()
    print(f"first page under 100 ms: {'yes' if first < 100 else 'NO'}; live page under 1 % of a core: {'yes' if each < 1 else 'NO'}")


if __name__ == "__main__":
    main()
