"""What the benchmarks share: a studio without models on a folder of its own, and a client of its public API."""
import http.client
import json
import os
import platform
import re
import signal
import subprocess
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def start(binary, data, settings=()):
    """Starts a studio with these settings more; answers (process, address, milliseconds until it answered)."""
    began = time.perf_counter()
    settings = ["agent.workers_dir=" + data, "inference.control.people_may_submit=true", *settings]
    process = subprocess.Popen([binary, "serve", "--data", data, "--port", "0",
                                *(word for setting in settings for word in ("--set", setting))],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=dict(os.environ, BACKLOT_TELEMETRY__LOG="error"))
    for line in process.stdout:
        found = re.search(r"ready at (http://\S+)", line)
        if found:
            address = urllib.parse.urlparse(found.group(1))
            connection = http.client.HTTPConnection(address.hostname, address.port)
            connection.request("GET", "/readyz")
            assert connection.getresponse().status == 200
            return process, address, (time.perf_counter() - began) * 1000
    raise SystemExit("bench: the studio ended before it was ready")


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


class Client:
    """One kept-alive connection with a session cookie."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address.hostname, address.port)
        self.headers = {"content-type": "application/json"}

    def call(self, method, path, body=None):
        self.connection.request(method, path, json.dumps(body) if body is not None else None, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        cookie = answer.getheader("set-cookie")
        if cookie:
            self.headers["cookie"] = cookie.split(";")[0]
        if answer.status >= 300:
            raise SystemExit(f"bench: {method} {path}: {answer.status} {text[:400]}")
        return json.loads(text) if text else None


def postgres(wanted):
    """Settings that put business on the PostgreSQL of scripts/test-services, in a schema of its own, and its name."""
    if not wanted:
        return [], None
    url = os.environ.get("BACKLOT_TEST_POSTGRES")
    if not url:
        raise SystemExit("bench: --postgres needs scripts/test-services run --only postgres scripts/bench-…")
    schema = f"bench_{os.getpid()}"
    return [f"business.db.url={url}", f"business.db.schema={schema}"], schema


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def machine():
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}"
