"""The two ends of the traffic that record.sh records: `traffic.py server` and `traffic.py client`.

Plain sockets and the kernel's own TCP, nothing crafted. What the client sends is fixed by the constants below and one
seed; when it sends, and how TCP cuts it into segments, is the kernel's.
"""

import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

SERVERS = {socket.AF_INET: "10.99.0.1", socket.AF_INET6: "fd99::1"}
CLIENTS = {
    socket.AF_INET: ["10.99.0.11", "10.99.0.12", "10.99.0.13", "10.99.0.14"],
    socket.AF_INET6: ["fd99::11", "fd99::12"],
}
BULK_PORT, WEB_PORT = 5001, 80  # TCP
DNS_PORT, ECHO_PORT, METRICS_PORT = 53, 9000, 8125  # UDP

# (family, bytes, pacing in bytes/s or 0): sent client -> server, all at the same time
BULK = [
    (socket.AF_INET, 140_000, 0),
    (socket.AF_INET, 140_000, 1_000_000),
    (socket.AF_INET, 100_000, 400_000),
    (socket.AF_INET6, 100_000, 0),
    (socket.AF_INET6, 80_000, 500_000),
]
WEB = {socket.AF_INET: 120, socket.AF_INET6: 40}  # short connections: one request, one response, close
DNS = {socket.AF_INET: 160, socket.AF_INET6: 60}  # request 30-70 bytes, response 60-500 bytes
ECHO = {socket.AF_INET: 90, socket.AF_INET6: 40}  # request of one of ECHO_SIZES, response 8 bytes
METRICS = {socket.AF_INET: 250, socket.AF_INET6: 80}  # one way, 20-120 bytes
ECHO_SIZES = [16, 64, 200, 512, 1000, 1400]
SO_MAX_PACING_RATE = 47  # linux/asm-generic/socket.h; the socket module has no name for it
TIMEOUT_SECONDS = 20.0


def serve() -> None:
    """Open every port on both families and answer until killed."""
    for family, address in SERVERS.items():
        for port, handler in ((BULK_PORT, handle_bulk), (WEB_PORT, handle_web)):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(128)
            threading.Thread(target=accept_loop, args=(listener, handler), daemon=True).start()
        for port in (DNS_PORT, ECHO_PORT, METRICS_PORT):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.bind((address, port))
            threading.Thread(target=answer_datagrams, args=(sock, port), daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


def accept_loop(listener: socket.socket, handler: Callable[[socket.socket], None]) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=handler, args=(connection,), daemon=True).start()


def handle_bulk(connection: socket.socket) -> None:
    """Read to the end, then say how much came."""
    with connection:
        total = 0
        while chunk := connection.recv(65536):
            total += len(chunk)
        connection.sendall(total.to_bytes(8, "big"))


def handle_web(connection: socket.socket) -> None:
    """One request ending in a blank line; its first line names the size of the response."""
    with connection:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            chunk = connection.recv(4096)
            if not chunk:
                return
            request += chunk
        size = int(request.split(b" ")[1].rsplit(b"/", 1)[1])
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


def answer_datagrams(sock: socket.socket, port: int) -> None:
    while True:
        request, peer = sock.recvfrom(2048)
        if port == DNS_PORT:
            sock.sendto(b"a" * int.from_bytes(request[:2], "big"), peer)
        elif port == ECHO_PORT:
            sock.sendto(request[:8], peer)


def connect(family: socket.AddressFamily, kind: socket.SocketKind, source: str, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    sock.settimeout(TIMEOUT_SECONDS)
    sock.bind((source, 0))
    sock.connect((SERVERS[family], port))
    return sock


def bulk(family: socket.AddressFamily, source: str, size: int, pacing: int) -> None:
    with connect(family, socket.SOCK_STREAM, source, BULK_PORT) as sock:
        if pacing:
            sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, pacing)
        sock.sendall(b"b" * size)
        sock.shutdown(socket.SHUT_WR)
        if int.from_bytes(sock.recv(8), "big") != size:
            raise RuntimeError("the server did not read the whole transfer")


def web(family: socket.AddressFamily, count: int, rng: random.Random) -> None:
    for _ in range(count):
        with connect(family, socket.SOCK_STREAM, rng.choice(CLIENTS[family]), WEB_PORT) as sock:
            agent = "a" * rng.randint(10, 300)
            sock.sendall(f"GET /{rng.randint(20, 700)} HTTP/1.0\r\nUser-Agent: {agent}\r\n\r\n".encode())
            while sock.recv(4096):
                pass
        time.sleep(rng.expovariate(400))


def dns(family: socket.AddressFamily, count: int, rng: random.Random) -> None:
    for _ in range(count):
        with connect(family, socket.SOCK_DGRAM, rng.choice(CLIENTS[family]), DNS_PORT) as sock:
            sock.send(rng.randint(60, 500).to_bytes(2, "big") + b"q" * rng.randint(28, 68))
            sock.recv(2048)
        time.sleep(rng.expovariate(600))


def echo(family: socket.AddressFamily, count: int, rng: random.Random) -> None:
    with connect(family, socket.SOCK_DGRAM, rng.choice(CLIENTS[family]), ECHO_PORT) as sock:
        for number in range(count):
            sock.send(number.to_bytes(8, "big") + b"e" * (rng.choice(ECHO_SIZES) - 8))
            sock.recv(2048)
            time.sleep(rng.expovariate(300))


def metrics(family: socket.AddressFamily, count: int, rng: random.Random) -> None:
    sources = [connect(family, socket.SOCK_DGRAM, source, METRICS_PORT) for source in CLIENTS[family]]
    while count > 0:
        burst = min(count, rng.randint(1, 12))
        sock = rng.choice(sources)
        for _ in range(burst):
            sock.send(b"m" * rng.randint(20, 120))
        count -= burst
        time.sleep(rng.expovariate(60))
    for sock in sources:
        sock.close()


def send_all() -> int:
    """Run every sender in a thread of its own; 0 if all ended well."""
    failures: list[BaseException] = []

    def guarded(target: Callable[..., None], args: tuple[Any, ...]) -> None:
        try:
            target(*args)
        except Exception as error:
            failures.append(error)

    jobs: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
        (bulk, (f, CLIENTS[f][i % len(CLIENTS[f])], size, pace)) for i, (f, size, pace) in enumerate(BULK)
    ]
    for target, counts in ((web, WEB), (dns, DNS), (echo, ECHO), (metrics, METRICS)):
        for family, count in counts.items():
            jobs.append((target, (family, count, random.Random(f"{target.__name__}/{family.name}"))))
    threads = [threading.Thread(target=guarded, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        print(f"traffic.py: {failure!r}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["server"]:
        serve()
    elif sys.argv[1:] == ["client"]:
        sys.exit(send_all())
    else:
        sys.exit("usage: traffic.py server|client")
