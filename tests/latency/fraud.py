"""How fast the fraud desk acts, seen from outside by a phone.

In each round the account is unlocked, a call is held up, and an INVITE goes to a number on the hot list, which a rule answers by locking
the account and ending its calls. Then INVITEs to another number follow one after the other until one is refused. Printed are the times
from the crossing INVITE to the first INVITE that is refused, and to the BYE of the call that was held, as the phone sees them, and the
first figure when the refusals themselves are the clock: an INVITE sent before it may still have gone through.

    fraud.py SIP_ADDRESS CONSOLE_URL TOKEN USER PASSWORD ACCOUNT HOT_NUMBER OTHER_NUMBER ROUNDS
"""

import hashlib
import itertools
import json
import re
import socket
import sys
import time
import urllib.request

DOMAIN = "sip.meridian.example"
SDP = "v=0\r\no=u 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
COUNT = itertools.count(1)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def header(message, name):
    found = re.search(rf"^{name}:[ \t]*(.*?)\r$", message, re.M | re.I)
    return found.group(1) if found else ""


class Phone:
    def __init__(self, server, user, password):
        self.user, self.password = user, password
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(server)
        self.port = self.socket.getsockname()[1]
        # BYEs that came, by Call-ID, and when.
        self.byes = {}

    def request(self, method, call, number, cseq, to="", extra="", body="", target=None, branch=None):
        target = target or f"sip:{number}@{DOMAIN}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self.socket.send(
            (
                f"{method} {target} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch or f'z9hG4bK{next(COUNT)}x{self.port}'}\r\n"
                f"From: <sip:{self.user}@{DOMAIN}>;tag={call}\r\n"
                f"To: {to or f'<sip:{number}@{DOMAIN}>'}\r\n"
                f"Call-ID: {call}\r\nCSeq: {cseq} {method}\r\n"
                f"Contact: <sip:{self.user}@127.0.0.1:{self.port}>\r\nMax-Forwards: 70\r\n{extra}{kind}"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )

    def receive(self, deadline):
        """The next message, after answering what the server asks; None when it is too late."""
        self.socket.settimeout(max(deadline - time.monotonic(), 0.0005))
        try:
            message = self.socket.recv(65_535).decode(errors="replace")
        except (TimeoutError, BlockingIOError):
            return None
        if not message.startswith("SIP/2.0"):
            if message.startswith("BYE"):
                self.byes.setdefault(header(message, "Call-ID"), time.monotonic())
            kept = "".join(f"{name}: {header(message, name)}\r\n" for name in ["Via", "From", "To", "Call-ID", "CSeq"])
            self.socket.send(f"SIP/2.0 200 OK\r\n{kept}Content-Length: 0\r\n\r\n".encode())
        return message

    def answer(self, call, cseq, seconds=5.0, final=False):
        """The next answer to a request of a call; 100 is none, and with `final` neither is what else is not final."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self.receive(deadline)
            if not message or not message.startswith("SIP/2.0") or header(message, "Call-ID") != call:
                continue
            code = int(message.split()[1])
            if header(message, "CSeq").startswith(f"{cseq} ") and code >= (200 if final else 101):
                return code, message
        raise SystemExit(f"no answer to request {cseq} of {call}")

    def challenged(self, number):
        """Sends an INVITE up to its challenge; what is needed to go on."""
        call = f"lat{next(COUNT)}-{self.port}"
        branch = f"z9hG4bKa{call}"
        self.request("INVITE", call, number, 1, body=SDP, branch=branch)
        code, message = self.answer(call, 1, final=True)
        name = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}[code]
        challenges = re.findall(rf"^{name}:[ \t]*(.*?)\r$", message, re.M | re.I)
        challenge = next(one for one in challenges if "SHA" not in one)
        self.request("ACK", call, number, 1, to=header(message, "To"), branch=branch)
        field = lambda key: re.search(rf'{key}="?([^",]+)', challenge).group(1)
        realm, nonce, uri = field("realm"), field("nonce"), f"sip:{number}@{DOMAIN}"
        ha1, ha2 = md5(f"{self.user}:{realm}:{self.password}"), md5(f"INVITE:{uri}")
        response = md5(f"{ha1}:{nonce}:00000001:c0ffee:auth:{ha2}") if "qop" in challenge else md5(f"{ha1}:{nonce}:{ha2}")
        qop = ', qop=auth, nc=00000001, cnonce="c0ffee"' if "qop" in challenge else ""
        says = "Authorization" if code == 401 else "Proxy-Authorization"
        return call, (
            f'{says}: Digest username="{self.user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
            f'response="{response}", algorithm=MD5{qop}\r\n'
        )

    def send_invite(self, number, prepared):
        call, credentials = prepared
        self.request("INVITE", call, number, 2, extra=credentials, body=SDP, branch=f"z9hG4bKb{call}")
        return call

    def end(self, call, number, code, message):
        """Ends a call after its first answer that counts."""
        branch = f"z9hG4bKb{call}"
        if code < 200:
            self.request("CANCEL", call, number, 2, branch=branch)
            code, message = self.answer(call, 2, final=True)
            while "INVITE" not in header(message, "CSeq"):
                code, message = self.answer(call, 2, final=True)
        if code < 300:
            target = header(message, "Contact").strip("<>") or None
            self.request("ACK", call, number, 2, to=header(message, "To"), target=target)
            self.request("BYE", call, number, 3, to=header(message, "To"), target=target)
        else:
            self.request("ACK", call, number, 2, to=header(message, "To"), branch=branch)


def unlock(url, token, account):
    body = json.dumps({"level": "none", "reason": "measuring"}).encode()
    request = urllib.request.Request(f"{url}/api/v1/accounts/{account}/lock", data=body, method="PUT")
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request).read()


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) * percent // 100, len(values) - 1)]


def main():
    server, url, token, user, password, account, hot, other, rounds = sys.argv[1:]
    host, port = server.rsplit(":", 1)
    phone = Phone((host, int(port)), user, password)
    refused, cut, through = [], [], 0
    for _ in range(int(rounds)):
        unlock(url, token, account)
        # Until the switch knows, and then a call that stays up.
        while True:
            held = phone.send_invite(other, phone.challenged(other))
            code, message = phone.answer(held, 2, final=True)
            if code < 300:
                target = header(message, "Contact").strip("<>") or None
                phone.request("ACK", held, other, 2, to=header(message, "To"), target=target)
                break
            phone.end(held, other, code, message)
            time.sleep(0.05)
        crossing = phone.challenged(hot)
        crossed = time.monotonic()
        hot_call = phone.send_invite(hot, crossing)
        is_refused = False
        while not is_refused:
            prepared = phone.challenged(other)
            sent = time.monotonic()
            if sent - crossed > 30:
                raise SystemExit("nothing was refused within 30 s")
            call = phone.send_invite(other, prepared)
            code, message = phone.answer(call, 2)
            is_refused = code == 403
            through += not is_refused
            phone.end(call, other, code, message)
        refused.append((sent - crossed) * 1_000)
        while held not in phone.byes and time.monotonic() - crossed < 30:
            phone.receive(time.monotonic() + 0.05)
        if held not in phone.byes:
            raise SystemExit("the call that was held was not cut within 30 s")
        cut.append((phone.byes[held] - crossed) * 1_000)
        # What is left of the crossing call; and an incident is over a second after its last crossing, before that nothing is news.
        until = time.monotonic() + 1.3
        while time.monotonic() < until:
            phone.receive(until)
    for what, values in [("refused", refused), ("cut", cut)]:
        print(
            f"{what}: {len(values)} rounds, median {percentile(values, 50):.1f} ms, "
            f"p99 {percentile(values, 99):.1f} ms, longest {max(values):.1f} ms"
        )
    print(f"through: {through} INVITEs between the crossing and its lock")


main()
