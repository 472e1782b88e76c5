"""A ComfyUI workflow as a tool: what its form may be, what its server lacks, and how a job runs on it.

A workflow is what ComfyUI exports in API format: `{"3": {"class_type": "KSampler", "inputs": {…}}, …}`. `propose`
holds it against the server's `/object_info`; `serve` runs one job by the command protocol: uploads pictures, POSTs
the prompt, follows it on the WebSocket (and by `/history` where that breaks), fetches what was made by `/view`, and
on SIGTERM takes the prompt out of the queue and interrupts it by its id. Standard library only.
"""

from __future__ import annotations

import base64
import copy
import json
import mimetypes
import os
import pathlib
import re
import secrets
import signal
import socket
import ssl
import struct
import sys
import time
import typing
import urllib.error
import urllib.parse
import urllib.request
import uuid

import backlot

HTTP_S = 30
# Silence on the WebSocket after which the history is asked.
SILENCE_S = 5
# How long an interrupted prompt may take to end: the agent kills this process two seconds after SIGTERM.
INTERRUPT_S = 1.5
# Seconds between two questions whether the history holds what has ended.
HISTORY_S = 0.05
NODES_MAX = 500
FIELDS_MAX = 40
OUTPUT_BYTES_MAX = 1 << 30
# JSON numbers are exact up to here; ComfyUI's seeds go to 2^64.
EXACT_MAX = (1 << 53) - 1
TEXT_CHARS_MAX = 5_000
MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx", ".sft")
# Inputs that a form usually has; all others may be chosen, too.
USUAL = {"text", "prompt", "seed", "noise_seed", "steps", "cfg", "denoise", "width", "height", "image", "strength"}
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}$")


class Refused(Exception):
    """The workflow cannot be a tool; the text is for who imports it."""


class Failed(Exception):
    """The job failed on ComfyUI's side."""


# ---- what a workflow is ------------------------------------------------------------------------------------------


def checked(workflow) -> dict:
    """The workflow, if it is one in API format."""
    if isinstance(workflow, dict) and isinstance(workflow.get("nodes"), list):
        raise Refused('this is a workflow of the editor: export it again with "Export (API)"')
    if not isinstance(workflow, dict) or not workflow:
        raise Refused("a workflow in API format is an object with a member for each node")
    if len(workflow) > NODES_MAX:
        raise Refused(f"a workflow has at most {NODES_MAX} nodes")
    for node, content in workflow.items():
        well_formed = isinstance(content, dict) and isinstance(content.get("class_type"), str)
        if not well_formed or not isinstance(content.get("inputs", {}), dict):
            raise Refused(f'node "{node}" has no class_type, or its inputs are no object: export it in API format')
        for name, value in content.get("inputs", {}).items():
            if is_link(value) and value[0] not in workflow:
                raise Refused(f'"{name}" of node "{node}" is linked to node "{value[0]}", which is not there')
    if cycle := find_cycle(workflow):
        raise Refused(f"the nodes {', '.join(cycle)} feed each other in a circle")
    return workflow


def is_link(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def find_cycle(workflow: dict) -> list[str]:
    feeds = {
        node: {value[0] for value in content.get("inputs", {}).values() if is_link(value)}
        for node, content in workflow.items()
    }
    while True:
        free = [node for node, sources in feeds.items() if not sources & feeds.keys()]
        if not free:
            return sorted(feeds)
        for node in free:
            del feeds[node]


def spec_of(info: dict, class_type: str, name: str):
    """ComfyUI's description of an input: its type and its options; None where it is not described."""
    inputs = info.get(class_type, {}).get("input", {})
    for group in ("required", "optional"):
        spec = inputs.get(group, {}).get(name)
        if spec:
            return spec[0], (spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {})
    return None


def options_of(kind, options: dict):
    """What a choice may be; None where it is no choice. Old servers list the words, newer ones say COMBO."""
    if isinstance(kind, list):
        return [str(word) for word in kind]
    if kind == "COMBO":
        return [str(word) for word in options.get("options", [])]
    return None


def schema_of(kind, options: dict, value):
    """JSON Schema of a literal input with the form's hints; None where a person cannot give it."""
    if options.get("image_upload"):
        return backlot.Picture().schema()
    if (words := options_of(kind, options)) is not None:
        return {"type": "string", "enum": words, "x-ui": {"widget": "choice"}} if words else None
    if kind == "STRING":
        widget = "textarea" if options.get("multiline") else "text"
        return {"type": "string", "maxLength": TEXT_CHARS_MAX, "x-ui": {"widget": widget}}
    if kind == "BOOLEAN":
        return {"type": "boolean", "x-ui": {"widget": "switch"}}
    if kind in ("INT", "FLOAT"):
        low = max(options.get("min", -EXACT_MAX), -EXACT_MAX)
        high = min(options.get("max", EXACT_MAX), EXACT_MAX)
        numbers = {"type": "integer" if kind == "INT" else "number", "minimum": low, "maximum": high}
        return {**numbers, "x-ui": {"widget": "slider" if high - low <= 1_000 else "number"}}
    return None


def propose(workflow, info: dict) -> dict:
    """What the tool's form may be, and what the server lacks."""
    workflow = checked(workflow)
    fields, missing_nodes, missing_models, problems, outputs, names = [], [], [], [], [], set()
    for node, content in workflow.items():
        class_type, inputs = content["class_type"], content.get("inputs", {})
        title = str(content.get("_meta", {}).get("title") or class_type)
        if class_type not in info:
            missing_nodes.append({"node": node, "class_type": class_type, "title": title})
            continue
        if info[class_type].get("output_node"):
            outputs.append({"node": node, "class_type": class_type, "title": title})
        for name in info[class_type].get("input", {}).get("required", {}):
            if name not in inputs:
                problems.append(f'"{name}" of node "{node}" ({title}) is required and not given')
        for name, value in inputs.items():
            spec = spec_of(info, class_type, name)
            if is_link(value) or spec is None:
                continue
            schema = schema_of(*spec, value)
            words = options_of(*spec)
            if words is not None and not spec[1].get("image_upload") and str(value) not in words:
                if str(value).lower().endswith(MODEL_SUFFIXES):
                    missing_models.append({"node": node, "input": name, "model": str(value), "here": words[:50]})
                else:
                    problems.append(f'"{name}" of node "{node}" ({title}) is "{value}", which the server does not offer')
            if schema is None:
                continue
            field = {
                "node": node,
                "input": name,
                "name": unique(name, title, names),
                "title": title if name == "text" else name.replace("_", " ").capitalize(),
                "schema": schema,
                "chosen": name in USUAL,
            }
            if schema.get("format") != "asset" and fits(schema, value):
                field["default"] = value
            fields.append(field)
    if not outputs and not missing_nodes:
        problems.append("no node of the workflow saves anything: it would make nothing")
    return {
        "fields": fields,
        "outputs": outputs,
        "missing_nodes": missing_nodes,
        "missing_models": missing_models,
        "problems": problems,
    }


def unique(name: str, title: str, names: set) -> str:
    """A field's name: the input's; where it is taken, with the node's title, then with a number."""
    plain = "".join(char if char.isascii() and char.isalnum() else "_" for char in name.lower()).strip("_") or "field"
    plain = plain if plain[0].isalpha() else f"f_{plain}"
    suffix = "".join(char if char.isascii() and char.isalnum() else "_" for char in title.lower()).strip("_")
    candidates = [plain, f"{plain}_{suffix}"[:40].rstrip("_"), *(f"{plain[:36]}_{n}" for n in range(2, NODES_MAX * 4))]
    chosen = next(candidate for candidate in candidates if candidate not in names and FIELD_NAME.match(candidate))
    names.add(chosen)
    return chosen


def fits(schema: dict, value) -> bool:
    kind = schema["type"]
    if kind in ("integer", "number"):
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and schema["minimum"] <= value <= schema["maximum"]
    if kind == "boolean":
        return isinstance(value, bool)
    return isinstance(value, str) and (value in schema["enum"] if "enum" in schema else len(value) <= TEXT_CHARS_MAX)


def manifest(request: dict, info: dict) -> dict:
    """The manifest of a workflow with the chosen fields, as `Tool.manifest` writes it."""
    proposal = propose(request["workflow"], info)
    for what in ("missing_nodes", "missing_models", "problems"):
        if proposal[what]:
            raise Refused(f"the server cannot run it: {json.dumps(proposal[what])[:600]}")
    known = {(field["node"], field["input"]): field for field in proposal["fields"]}
    chosen = request.get("fields")
    if chosen is None:
        chosen = [field for field in proposal["fields"] if field["chosen"]]
    if len(chosen) > FIELDS_MAX:
        raise Refused(f"a form has at most {FIELDS_MAX} fields")
    properties, required = {}, []
    for order, choice in enumerate(chosen, 1):
        field = known.get((choice.get("node"), choice.get("input")))
        if field is None:
            raise Refused(f'"{choice.get("input")}" of node "{choice.get("node")}" is no literal input of the workflow')
        name = choice.get("name") or field["name"]
        if not FIELD_NAME.match(name) or name in properties:
            raise Refused(f'"{name}" cannot name a field, or names two')
        schema = copy.deepcopy(field["schema"])
        schema["x-ui"]["order"] = order
        schema["title"] = choice.get("title") or field["title"]
        if "default" in field:
            schema["default"] = field["default"]
        else:
            required.append(name)
        properties[name] = schema
        choice["name"] = name
    request["fields"] = [{key: choice[key] for key in ("node", "input", "name")} for choice in chosen]
    makes = media_of(proposal["outputs"])
    price = int(request.get("price_micro", 50_000))
    return {
        "name": "comfyui",
        "label": request.get("label") or "Workflow",
        "description": request.get("description") or "A ComfyUI workflow.",
        "category": makes[0].split("/")[0],
        "input": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": False,
            "required": required,
            "properties": properties,
        },
        "makes": makes,
        "price": [{"label": "Run", "amount": price}],
        "seconds": float(request.get("seconds", 20)),
        "timeout": 1_800,
        "memory_mib": 100,
        "gpus": 0,
        "max_outputs": 16,
    }


def media_of(outputs: list) -> list[str]:
    words = " ".join(output["class_type"].lower() for output in outputs)
    if "video" in words or "vhs" in words or "webm" in words:
        return ["video/mp4", "video/webm", "image/gif", "image/png"]
    if "audio" in words:
        return ["audio/flac", "audio/mpeg", "audio/wav", "audio/ogg"]
    return ["image/png", "image/jpeg", "image/webp"]


# ---- the server --------------------------------------------------------------------------------------------------


class Server:
    """A ComfyUI server by its address."""

    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def call(self, path: str, body=None, content_type: str = "application/json"):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data)
        if data is not None:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
                return answer.read(OUTPUT_BYTES_MAX)
        except urllib.error.HTTPError as error:
            raise Failed(f"ComfyUI answers {error.code} to {path.split('?')[0]}: {reason(error.read())}") from error
        except (OSError, ValueError) as error:
            raise Failed(f"ComfyUI does not answer at {self.url}: {error}") from error

    def json(self, path: str, body=None):
        answer = self.call(path, body)
        try:
            return json.loads(answer) if answer else {}
        except ValueError as error:
            raise Failed(f"ComfyUI answers {path.split('?')[0]} with something that is no JSON") from error

    def upload(self, path: str) -> str:
        """Puts a picture among the server's inputs under a name that nobody else uses; returns what nodes call it."""
        name = f"{uuid.uuid4().hex}{pathlib.Path(path).suffix}"
        mark = secrets.token_hex(16)
        parts = {"overwrite": b"true", "type": b"input", "subfolder": b"backlot"}
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        lines = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n'.encode() + value + b"\r\n"
            for key, value in parts.items()
        ]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        body = b"".join(lines) + head.encode() + pathlib.Path(path).read_bytes() + f"\r\n--{mark}--\r\n".encode()
        saved = json.loads(self.call("/upload/image", body, f"multipart/form-data; boundary={mark}"))
        return f"{saved['subfolder']}/{saved['name']}" if saved.get("subfolder") else saved["name"]

    def view(self, file: dict) -> bytes:
        return self.call("/view?" + urllib.parse.urlencode({key: file.get(key, "") for key in ("filename", "subfolder", "type")}))


def reason(body: bytes) -> str:
    """ComfyUI's own words about a refusal."""
    try:
        answer = json.loads(body)
        words = [str(answer.get("error", {}).get("message", ""))]
        for node, errors in (answer.get("node_errors") or {}).items():
            words += [f"node {node} ({errors.get('class_type')}): {one.get('message')} {one.get('details', '')}" for one in errors.get("errors", [])]
        return "; ".join(word.strip() for word in words if word.strip())[:800]
    except (ValueError, AttributeError):
        return body[:200].decode(errors="replace")


class Socket:
    """The client's side of a WebSocket (RFC 6455), as much as ComfyUI needs: it only listens."""

    def __init__(self, url: str, timeout: float):
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https"
        address = (parts.hostname, parts.port or (443 if secure else 80))
        self.socket = socket.create_connection(address, timeout=HTTP_S)
        if secure:
            self.socket = ssl.create_default_context().wrap_socket(self.socket, server_hostname=parts.hostname)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise OSError("the server does not speak WebSocket")
        self.socket.settimeout(timeout)

    def _more(self) -> None:
        got = self.socket.recv(65_536)
        if not got:
            raise OSError("the WebSocket was closed")
        self.buffer += got

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            self._more()
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def message(self):
        """The next message, text as str and binary as bytes; raises TimeoutError where none comes in time."""
        whole, kind = b"", None
        while True:
            while len(self.buffer) < 2:
                self._more()
            first, second = self._take(2)
            size = second & 127
            if size > 125:
                size = struct.unpack(">H" if size == 126 else ">Q", self._take(2 if size == 126 else 8))[0]
            if size > 64 << 20:
                raise OSError("a message is too large")
            content, code = self._take(size), first & 15
            if code == 8:
                raise OSError("the server closed the WebSocket")
            if code == 9:
                self._send(10, content)
            elif code in (0, 1, 2):
                whole, kind = whole + content, kind or code
                if first & 128:
                    return whole.decode() if kind == 1 else whole

    def _send(self, code: int, content: bytes) -> None:
        mask = secrets.token_bytes(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(content[:125]))
        self.socket.sendall(bytes([128 | code, 128 | len(masked)]) + mask + masked)

    def close(self) -> None:
        self.socket.close()


# ---- one job -----------------------------------------------------------------------------------------------------


class Canceled(BaseException):
    """SIGTERM came."""


def run(server: Server, workflow: dict, fields: list, given: dict, folder: pathlib.Path) -> list[dict]:
    prompt = copy.deepcopy(workflow)
    for field in fields:
        if field["name"] not in given:
            continue
        value = given[field["name"]]
        # The agent gives the path of an asset; a text of a person is never a path of this machine.
        if isinstance(value, str) and value in given.get("$paths", ()):
            value = server.upload(value)
        prompt[field["node"]].setdefault("inputs", {})[field["input"]] = value
    prompt_id, client_id = str(uuid.uuid4()), uuid.uuid4().hex
    try:
        follow(server, prompt, prompt_id, client_id)
        # ComfyUI says that a prompt has succeeded before its history holds what it made.
        while not is_over(server, prompt_id):
            time.sleep(HISTORY_S)
        return fetch(server, prompt_id, folder)
    except Canceled:
        interrupt(server, prompt_id)
        raise


def follow(server: Server, prompt: dict, prompt_id: str, client_id: str) -> None:
    """Gives the prompt to the server and waits for its end. The socket is up first, so that nothing is missed."""
    link: typing.Optional[Socket] = None
    try:
        link = Socket(f"{server.url}/ws?clientId={client_id}", SILENCE_S)
    except OSError:
        pass  # The history tells as well, only later.
    try:
        body = {"prompt": prompt, "prompt_id": prompt_id, "client_id": client_id}
        accepted = server.json("/prompt", body)
        if accepted.get("prompt_id") != prompt_id:
            raise Failed("ComfyUI gave the prompt another id: it is too old to be interrupted safely")
        done: set[str] = set()
        while True:
            if link is None:
                if is_over(server, prompt_id):
                    return
                time.sleep(1)
                continue
            try:
                if listen(link.message(), prompt_id, done, len(prompt)):
                    return
            except TimeoutError:
                if is_over(server, prompt_id):
                    return
            except OSError:
                link.close()
                link = None
    finally:
        if link is not None:
            link.close()


def listen(message, prompt_id: str, done: set, nodes: int) -> bool:
    """Takes one message in; True where the prompt has succeeded."""
    if isinstance(message, bytes):
        show(message)
        return False
    said = json.loads(message)
    kind, data = said.get("type"), said.get("data") or {}
    if data.get("prompt_id") not in (None, prompt_id):
        return False
    if kind == "execution_cached":
        done.update(data.get("nodes", []))
    elif kind == "executing" and data.get("node"):
        backlot.progress(min(len(done) / nodes, 0.99), f"node {data['node']}")
        done.add(data["node"])
    elif kind == "progress" and data.get("prompt_id") == prompt_id:
        part = data.get("value", 0) / max(data.get("max", 1), 1)
        share = (max(len(done) - 1, 0) + part) / nodes
        backlot.progress(min(share, 0.99), f"step {data.get('value')} of {data.get('max')}")
    elif kind == "execution_error" and data.get("prompt_id") == prompt_id:
        raise Failed(f"node {data.get('node_id')} ({data.get('node_type')}): {data.get('exception_message')}".strip())
    elif kind == "execution_interrupted" and data.get("prompt_id") == prompt_id:
        raise Failed("somebody interrupted it on the ComfyUI server")
    return kind == "execution_success" and data.get("prompt_id") == prompt_id


def show(message: bytes) -> None:
    """A binary frame: a preview picture, after its event (1) and its format (1: JPEG, 2: PNG)."""
    if len(message) < 8 or len(message) > backlot.PREVIEW_BYTES_MAX:
        return
    event, form = struct.unpack(">II", message[:8])
    kinds = {1: "image/jpeg", 2: "image/png"}
    if event == 1 and form in kinds:
        encoded = base64.b64encode(message[8:]).decode()
        backlot._say({"preview": f"data:{kinds[form]};base64,{encoded}"})


def is_over(server: Server, prompt_id: str) -> bool:
    """By the history: True where it succeeded; raises where it failed or is known no more."""
    entry = server.json(f"/history/{prompt_id}").get(prompt_id)
    if entry is None:
        queue = server.json("/queue")
        waiting = [one[1] for one in queue.get("queue_running", []) + queue.get("queue_pending", [])]
        if prompt_id in waiting:
            return False
        # It may have ended between the two questions.
        entry = server.json(f"/history/{prompt_id}").get(prompt_id)
        if entry is None:
            raise Failed("ComfyUI no longer knows the prompt: its server was restarted")
    status = entry.get("status") or {}
    if status.get("status_str") == "error":
        last = (status.get("messages") or [["", {}]])[-1]
        raise Failed(f"{last[0]}: {last[1].get('exception_message', '')}".strip(": "))
    return True


def fetch(server: Server, prompt_id: str, folder: pathlib.Path) -> list[dict]:
    """What the prompt made: saved files, or where nothing was saved, its temporary ones."""
    entry = server.json(f"/history/{prompt_id}").get(prompt_id) or {}
    files = [
        file
        for output in (entry.get("outputs") or {}).values()
        for listed in output.values()
        if isinstance(listed, list)
        for file in listed
        if isinstance(file, dict) and file.get("filename")
    ]
    saved = [file for file in files if file.get("type") == "output"] or files
    outputs = []
    for n, file in enumerate(saved):
        name = pathlib.PurePosixPath(str(file["filename"]).replace("\\", "/")).name
        path = folder / f"{n}-{name}"
        path.write_bytes(server.view(file))
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        outputs.append({"name": name, "path": str(path), "content_type": kind})
    if not outputs:
        raise Failed("the workflow ended and saved nothing")
    return outputs


def interrupt(server: Server, prompt_id: str) -> None:
    """Takes the prompt out of the queue, or stops it where it runs: this one, and no other."""
    try:
        server.json("/queue", {"delete": [prompt_id]})
        server.json("/interrupt", {"prompt_id": prompt_id})
        until = time.monotonic() + INTERRUPT_S
        while time.monotonic() < until:
            running = [one[1] for one in server.json("/queue").get("queue_running", [])]
            if prompt_id not in running:
                return
            time.sleep(0.1)
        print("ComfyUI has not stopped the prompt yet", file=sys.stderr)
    except Failed as error:
        print(error, file=sys.stderr)


def serve(file: str) -> int:
    """Runs one job of the workflow in `file` by the command protocol."""
    backlot._speaks_json = True
    sys.stdout = sys.stderr

    def stop(*_):
        raise Canceled

    signal.signal(signal.SIGTERM, stop)
    try:
        request = json.load(sys.stdin)
        described = json.loads(pathlib.Path(file).read_text())
        given = request.get("input") or {}
        # Files are where the agent put them: beside the folder for outputs.
        beside = pathlib.Path(request["output_dir"]).resolve().parent
        given["$paths"] = [
            value for value in given.values() if isinstance(value, str) and os.path.isabs(value) and is_inside(value, beside)
        ]
        server = Server(described["url"])
        outputs = run(server, described["workflow"], described["fields"], given, pathlib.Path(request["output_dir"]))
    except Canceled:
        return 1
    except Failed as error:
        backlot._say({"error": str(error), "class": "model_error"})
        return 1
    backlot._say({"output": outputs})
    return 0


def is_inside(path: str, folder: pathlib.Path) -> bool:
    try:
        return pathlib.Path(path).resolve().is_relative_to(folder) and os.path.isfile(path)
    except OSError:
        return False


def main(command: str, url: str) -> int:
    """`propose` and `manifest`: a request on standard input, the answer as JSON."""
    try:
        request = json.load(sys.stdin)
        info = Server(url).json("/object_info")
        if command == "propose":
            answer = propose(request.get("workflow"), info)
        else:
            described = manifest(request, info)
            answer = {"manifest": described, "fields": request["fields"]}
    except (Refused, Failed, ValueError) as error:
        kind = "unreachable" if isinstance(error, Failed) else "refused"
        print(json.dumps({"error": str(error), "kind": kind}))
        return 1
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
