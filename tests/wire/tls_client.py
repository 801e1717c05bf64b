"""A client of Python's own ssl module: joins over TLS 1.3 with a certificate, commands a second
one, and moves a megabyte each way. With TLS 1.2 and without the protocol's name it gets nowhere."""

import json
import socket
import sys

try:
    import ssl
except ImportError:
    print("no ssl module")
    sys.exit(0)

PORT, CA, CERT, KEY = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
ALPN = "pecking-order/1"


def context(version=ssl.TLSVersion.TLSv1_3, alpn=ALPN):
    made = ssl.create_default_context(cafile=CA)
    made.minimum_version = made.maximum_version = version
    made.load_cert_chain(CERT, KEY)
    if alpn:
        made.set_alpn_protocols([alpn])
    return made


def dial(made):
    plain = socket.create_connection(("127.0.0.1", PORT), timeout=20)
    return made.wrap_socket(plain, server_hostname="localhost")


class Client:
    def __init__(self, name, slots):
        self.socket = dial(context())
        assert self.socket.version() == "TLSv1.3", self.socket.version()
        assert self.socket.selected_alpn_protocol() == ALPN
        self.lines = self.socket.makefile("rb")
        self.ask("join", {"protocol": 1, "name": name, "slots": slots})

    def say(self, message):
        self.socket.sendall(json.dumps(dict(message, jsonrpc="2.0")).encode() + b"\n")

    def ask(self, method, params):
        self.say({"id": method, "method": method, "params": params})
        answer = self.hear(lambda message: message.get("id") == method)
        assert "result" in answer, answer
        return answer["result"]

    def hear(self, wanted):
        while True:
            line = self.lines.readline()
            assert line, "the connection ended"
            message = json.loads(line)
            if wanted(message):
                return message


def is_refused(made):
    try:
        refused = dial(made)
        refused.sendall(b'{"jsonrpc":"2.0","id":1,"method":"join","params":{"protocol":1}}\n')
        heard = refused.makefile("rb").readline()
    except (ssl.SSLError, ConnectionError):
        return True
    return b'"error"' in heard


boss, worker = Client("boss", 0), Client("worker", 1)
assert worker.socket.session is None or not worker.socket.session.has_ticket, "no tickets"
words = ["print", "x" * 700_000]
boss.say({"id": "s", "method": "send", "params": {"to": "worker", "command": words}})
execute = worker.hear(lambda message: message.get("method") == "execute")
assert execute["params"]["command"] == words
worker.say({"id": execute["id"], "result": {"exit_code": 0, "stdout": "y" * 700_000}})
answer = boss.hear(lambda message: message.get("id") == "s")
assert len(json.dumps(answer)) > 700_000, answer
assert is_refused(context(version=ssl.TLSVersion.TLSv1_2)), "TLS 1.2"
assert is_refused(context(alpn="h2")), "another protocol"
assert is_refused(context(alpn=None)), "no protocol"
worker.ask("ping", {})
print("all is well")
