"""A real SMTP server (aiosmtpd) for the tests of `notify`.

Usage: smtp_server.py DIR [--login] [--cert FILE --key FILE [--implicit]]

Listens on a free port of 127.0.0.1 and prints it. Each accepted mail becomes DIR/N.eml (as received) and DIR/N.json
(envelope, peer session). What it answers is in the recipient's name: `later-421@`, `later-451@` and `never-550@` get
their code at RCPT, `full-452@` and `spam-554@` after the data, `slow@` never gets an answer. After a
mail to `bye@` the server ends the session at the next NOOP, as servers do with idle ones.
Ends when its standard input does, so that it does not outlive the test.
"""

import argparse
import asyncio
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.n_mails = 0
        self.ended = set()

    async def handle_NOOP(self, server, session, envelope, arg):
        return "421 idle for too long" if session.peer in self.ended else "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name.startswith(("later-", "never-")):
            return f"{name.split('-')[1]} {name} at your service"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        for address in envelope.rcpt_tos:
            name = address.split("@")[0]
            if name == "slow":
                await asyncio.sleep(3600)
            if name == "bye":
                self.ended.add(session.peer)
            if name.startswith(("full-", "spam-")):
                return f"{name.split('-')[1]} {name} after the data"
        self.n_mails += 1
        stem = self.folder / str(self.n_mails)
        stem.with_suffix(".eml").write_bytes(envelope.original_content)
        facts = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "peer_port": session.peer[1],
            "login": bool(session.authenticated),
            "tls": server.transport.get_extra_info("sslcontext") is not None,
        }
        stem.with_suffix(".json").write_text(json.dumps(facts))
        return f"250 OK queued as {self.n_mails}"


def check_login(server, session, envelope, mechanism, data):
    good = mechanism in ("PLAIN", "LOGIN") and data.login == b"billing" and data.password == b"s3cret word"
    return AuthResult(success=good, handled=False)


async def main():
    args = argparse.ArgumentParser()
    args.add_argument("folder")
    args.add_argument("--login", action="store_true")
    args.add_argument("--cert")
    args.add_argument("--key")
    args.add_argument("--implicit", action="store_true")
    args = args.parse_args()

    context = None
    if args.cert:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(args.cert, args.key)
    handler = Handler(args.folder)

    def session():
        return SMTP(
            handler,
            hostname="test.example",
            enable_SMTPUTF8=False,
            tls_context=None if args.implicit else context,
            require_starttls=bool(context) and not args.implicit,
            authenticator=check_login if args.login else None,
            auth_required=args.login,
            auth_require_tls=False,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=context if args.implicit else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
