"""Plays Fargate and the callback API for one container, in a network of its own.

Reads from standard input what to run and how to answer, and writes to standard output what it saw. Runs in fresh
network and mount namespaces (`run`), so that the credentials are where they are in a task, at 169.254.170.2, the
API has its real name, and the container reaches nothing else.
"""

import concurrent.futures
import fcntl
import http.server
import json
import os
import pathlib
import queue
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# As the agent answers (Amazon ECS Developer Guide, "Amazon ECS task IAM role").
ROLE = {
    "RoleArn": "arn:aws:iam::123456789012:role/worker",
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "c2VjcmV0/+key",
    "Token": "session/+token==",
    "Expiration": "2099-01-01T00:00:00Z",
}
REGION = "eu-west-1"
API = f"lambda.{REGION}.amazonaws.com"
AGENT = "169.254.170.2"
AGENT_PATH = "/v2/credentials/role-of-the-task"


def run(command, environment, answers=(), terminate_at=None, seconds=60, certificate=None, root=None):
    """Runs `command` as a task's container. Returns its exit code, its output, and the calls that it made, each with
    the most memory that it had had at once, in KiB.

    `answers` are the answers to its calls in turn, each `[status, error type]`; after the last it is `[200, None]`.
    At the call of the kind `terminate_at` the container gets a SIGTERM. With a `certificate` (a PEM file with its
    key) the API is found by its real name, over TLS; else the environment names it on loopback. With a `root` the
    container sees nothing but that folder, and those of the devices that every container runtime gives ("Default
    Devices" of the OCI runtime specification) for which the folder has a file to mount them on.
    """
    order = {
        "command": command,
        "environment": environment,
        "answers": list(answers),
        "terminate_at": terminate_at,
        "seconds": seconds,
        "certificate": certificate and str(certificate),
        "root": root and str(root),
    }
    here = [sys.executable, str(pathlib.Path(__file__).resolve())]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", "--mount", *here],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    if done.returncode != 0:
        raise RuntimeError(f"fargate.py exited with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def signature_is_right(method, path, headers, body):
    """Whether botocore signs this request the same way."""
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if scheme != "AWS4-HMAC-SHA256" or {"Credential", "SignedHeaders", "Signature"} - set(parts):
        return False
    wanted = f"{ROLE['AccessKeyId']}/{headers.get('x-amz-date', '')[:8]}/{REGION}/lambda/aws4_request"
    names = parts["SignedHeaders"].split(";")
    if parts["Credential"] != wanted or {"host", "x-amz-date", "x-amz-security-token"} - set(names):
        return False
    signed = {name: headers[name] for name in names}
    request = AWSRequest(method, f"http://{headers['host']}{path}", headers=signed, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(ROLE["AccessKeyId"], ROLE["SecretAccessKey"], ROLE["Token"]), "lambda", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return signer.signature(text, request) == parts["Signature"] and signed["x-amz-security-token"] == ROLE["Token"]


def loopback_up():
    """Brings the new namespace's loopback up, with the agent's address on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for name, address in [(b"lo", "127.0.0.1"), (b"lo:1", AGENT)]:
            sockaddr = struct.pack("<HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, 0x8916, struct.pack("16s16s", name, sockaddr))  # SIOCSIFADDR
            fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", name, 0x1 | 0x40))  # SIOCSIFFLAGS: up, running


def resolve_here():
    """Has every name asked of 127.0.0.1, where it is answered with 127.0.0.1."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write("nameserver 127.0.0.1\n")
        config.flush()
        subprocess.run(["mount", "--bind", config.name, "/etc/resolv.conf"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))

    def serve():
        while True:
            query, peer = server.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            is_a = query[end - 4 : end - 2] == b"\0\1"
            answer = b"\xc0\x0c" + struct.pack(">HHIH4s", 1, 1, 60, 4, socket.inet_aton("127.0.0.1")) if is_a else b""
            header = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1 if is_a else 0, 0, 0)
            server.sendto(header + query[12:end] + answer, peer)

    threading.Thread(target=serve, daemon=True).start()


def give_devices(root):
    """Mounts the default devices that have a file in the root."""
    for device in ("null", "zero", "full", "random", "urandom", "tty"):
        place = pathlib.Path(root, "dev", device)
        if place.exists():
            subprocess.run(["mount", "--bind", f"/dev/{device}", place], check=True)


def agent():
    """The credentials endpoint of the ECS agent."""

    class Agent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(ROLE).encode() if self.path == AGENT_PATH else b"{}"
            self.send_response(200 if self.path == AGENT_PATH else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer((AGENT, 80), Agent)


def peak_memory(process):
    """The most memory that the process has had at once, in KiB."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def callbacks(port, answers, calls, seen, container):
    """The callback API. Only what is signed is heard."""

    class Callbacks(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            call = {"path": self.path, "host": headers.get("host"), "type": headers.get("content-type")}
            call["memory"] = peak_memory(container.result().pid)
            if signature_is_right("POST", self.path, headers, body):
                calls.append({**call, "body": body.decode()})
                status, error = answers.pop(0) if answers else (200, None)
            else:
                status, error = 403, "InvalidSignatureException"
                calls.append({**call, "refused": error})
            self.send_response(status)
            if error:
                self.send_header("x-amzn-errortype", error)
            self.send_header("content-length", "0")
            self.end_headers()
            seen.put(self.path.rsplit("/", 1)[1])

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(("127.0.0.1", port), Callbacks)


def main():
    order = json.load(sys.stdin)
    loopback_up()
    calls, seen, running = [], queue.Queue(), concurrent.futures.Future()
    api = callbacks(443 if order["certificate"] else 0, order["answers"], calls, seen, running)
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "AWS_REGION": REGION,
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": AGENT_PATH,
    }
    if order["certificate"]:
        resolve_here()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(order["certificate"])
        api.socket = tls.wrap_socket(api.socket, server_side=True)
    else:
        environment["AWS_ENDPOINT_URL_LAMBDA"] = f"http://127.0.0.1:{api.server_port}"
    if order["root"]:
        give_devices(order["root"])
    for server in (agent(), api):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    container = subprocess.Popen(
        (["chroot", order["root"]] if order["root"] else []) + order["command"],
        env={**environment, **order["environment"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running.set_result(container)
    try:
        while order["terminate_at"] and seen.get(timeout=order["seconds"]) != order["terminate_at"]:
            pass
        if order["terminate_at"]:
            container.send_signal(signal.SIGTERM)
        output, _ = container.communicate(timeout=order["seconds"])
    finally:
        container.kill()
    json.dump({"code": container.returncode, "output": output, "calls": calls}, sys.stdout)


if __name__ == "__main__":
    main()
