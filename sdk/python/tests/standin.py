"""A stand-in for ComfyUI's server: its routes, queue, messages and validation, with nodes that paint instead of think.

Only for tests. `python standin.py PORT` prints its address; port 0 is any free one. The behaviour follows ComfyUI's
server.py and execution.py: one prompt at a time, `node_errors` with 400, `executing` with a null node at the end,
`/interrupt` with a prompt_id stops that prompt and no other, `/history` after the end.
"""

import base64
import hashlib
import json
import queue
import struct
import sys
import threading
import time
import urllib.parse
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = ["sd15.safetensors", "tiny.safetensors"]
LONG = 18446744073709551615


def node(required, output, optional=None, output_node=False):
    return {"input": {"required": required, "optional": optional or {}}, "output": output, "output_node": output_node}


INFO = {
    "CheckpointLoaderSimple": node({"ckpt_name": [MODELS, {}]}, ["MODEL", "CLIP", "VAE"]),
    "CLIPTextEncode": node({"text": ["STRING", {"multiline": True}], "clip": ["CLIP"]}, ["CONDITIONING"]),
    "EmptyLatentImage": node(
        {
            "width": ["INT", {"default": 512, "min": 16, "max": 2048}],
            "height": ["INT", {"default": 512, "min": 16, "max": 2048}],
            "batch_size": ["INT", {"default": 1, "min": 1, "max": 4}],
        },
        ["LATENT"],
    ),
    "KSampler": node(
        {
            "model": ["MODEL"],
            "seed": ["INT", {"default": 0, "min": 0, "max": LONG}],
            "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
            "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0}],
            "sampler_name": [["euler", "dpmpp_2m"], {}],
            "scheduler": ["COMBO", {"options": ["normal", "karras"]}],
            "positive": ["CONDITIONING"],
            "negative": ["CONDITIONING"],
            "latent_image": ["LATENT"],
            "denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}],
        },
        ["LATENT"],
    ),
    "VAEDecode": node({"samples": ["LATENT"], "vae": ["VAE"]}, ["IMAGE"]),
    "LoadImage": node({"image": [["example.png"], {"image_upload": True}]}, ["IMAGE", "MASK"]),
    "ImageInvert": node({"image": ["IMAGE"]}, ["IMAGE"]),
    "SaveImage": node({"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]}, [], output_node=True),
}


def png(width, height, shade):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes(value for x in range(width) for value in (shade, (x + y) % 256, 90)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Interrupted(Exception):
    pass


class Comfy:
    def __init__(self):
        self.lock = threading.Lock()
        self.pending, self.running, self.history = [], None, {}
        self.interrupted, self.sockets, self.files = False, {}, {("input", "", "example.png"): png(8, 8, 1)}
        self.wake, self.number, self.seen = queue.Queue(), 0, []
        threading.Thread(target=self.work, daemon=True).start()

    def validate(self, prompt):
        errors = {}
        for name, content in prompt.items():
            known = INFO.get(content.get("class_type"))
            if known is None:
                return {"type": "invalid_prompt", "message": f"Cannot execute because node {content.get('class_type')} does not exist.", "details": f"Node ID '#{name}'", "extra_info": {}}, {}
            found = []
            for key, spec in known["input"]["required"].items():
                value = content.get("inputs", {}).get(key)
                options = spec[1] if len(spec) > 1 else {}
                words = spec[0] if isinstance(spec[0], list) else options.get("options")
                if value is None:
                    found.append({"type": "required_input_missing", "message": "Required input is missing", "details": key})
                elif isinstance(value, list):
                    continue
                elif options.get("image_upload"):
                    folder, _, file = str(value).rpartition("/")
                    if ("input", folder, file) not in self.files:
                        found.append({"type": "custom_validation_failed", "message": "Custom validation failed for node", "details": f"image - Invalid image file: {value}"})
                elif words is not None and value not in words:
                    found.append({"type": "value_not_in_list", "message": "Value not in list", "details": f"{key}: '{value}' not in {words}"})
                elif spec[0] in ("INT", "FLOAT") and value > options.get("max", value):
                    found.append({"type": "value_bigger_than_max", "message": "Value bigger than max", "details": key})
            if found:
                errors[name] = {"errors": found, "class_type": content["class_type"], "dependent_outputs": []}
        if errors:
            return {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation", "details": "", "extra_info": {}}, errors
        if not any(INFO[content["class_type"]]["output_node"] for content in prompt.values()):
            return {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": "", "extra_info": {}}, {}
        return None, {}

    def send(self, client, kind, data):
        self.raw(client, 1, json.dumps({"type": kind, "data": data}).encode())

    def raw(self, client, code, content):
        link = self.sockets.get(client)
        if link is None:
            return
        size = len(content)
        head = bytes([128 | code]) + (bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size) if size < 65536 else b"\x7f" + struct.pack(">Q", size))
        try:
            link.sendall(head + content)
        except OSError:
            self.sockets.pop(client, None)

    def work(self):
        while True:
            self.wake.get()
            with self.lock:
                if not self.pending:
                    continue
                self.running = self.pending.pop(0)
                self.interrupted = False
            _, prompt_id, prompt, extra, _ = self.running
            client, status, outputs = extra.get("client_id"), [], {}

            def say(kind, **data):
                data["prompt_id"] = prompt_id
                status.append([kind, data])
                self.send(client, kind, data)

            say("execution_start", timestamp=int(time.time() * 1000))
            say("execution_cached", nodes=[])
            try:
                for name in self.order(prompt):
                    self.execute(name, prompt, prompt_id, client, outputs)
                say("execution_success", timestamp=int(time.time() * 1000))
                result = "success"
            except Interrupted:
                say("execution_interrupted", node_id=name, node_type=prompt[name]["class_type"], executed=[])
                result = "error"
            except Exception as error:
                say("execution_error", node_id=name, node_type=prompt[name]["class_type"], exception_message=str(error), exception_type=type(error).__name__, traceback=[])
                result = "error"
            # As with the real one, the end is said before the history holds it: here always long enough to be noticed.
            time.sleep(0.1)
            with self.lock:
                self.history[prompt_id] = {"prompt": self.running, "outputs": outputs, "status": {"status_str": result, "completed": result == "success", "messages": status}}
                self.running = None
            self.send(client, "executing", {"node": None, "prompt_id": prompt_id})

    def order(self, prompt):
        done, order = set(), []

        def visit(name):
            if name in done:
                return
            done.add(name)
            for value in prompt[name].get("inputs", {}).values():
                if isinstance(value, list):
                    visit(value[0])
            order.append(name)

        for name, content in prompt.items():
            if INFO[content["class_type"]]["output_node"]:
                visit(name)
        return order

    def execute(self, name, prompt, prompt_id, client, outputs):
        if self.interrupted:
            raise Interrupted
        content = prompt[name]
        kind, inputs = content["class_type"], content.get("inputs", {})
        self.send(client, "executing", {"node": name, "display_node": name, "prompt_id": prompt_id})
        if kind == "KSampler":
            for step in range(1, inputs["steps"] + 1):
                if self.interrupted:
                    raise Interrupted
                time.sleep(0.01)
                self.send(client, "progress", {"value": step, "max": inputs["steps"], "prompt_id": prompt_id, "node": name})
                self.raw(client, 2, struct.pack(">II", 1, 2) + png(8, 8, step % 256))
            if inputs["seed"] == 666:
                raise RuntimeError("CUDA out of memory")
        if kind == "SaveImage":
            size = next((c["inputs"] for c in prompt.values() if c["class_type"] == "EmptyLatentImage"), {"width": 16, "height": 16})
            shade = next((c["inputs"]["seed"] % 256 for c in prompt.values() if c["class_type"] == "KSampler"), 7)
            file = f"{inputs['filename_prefix']}_{len(self.files):05}_.png"
            self.files[("output", "", file)] = png(size["width"], size["height"], shade)
            outputs[name] = {"images": [{"filename": file, "subfolder": "", "type": "output"}]}
            self.send(client, "executed", {"node": name, "display_node": name, "output": outputs[name], "prompt_id": prompt_id})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    comfy = None

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, kind="application/json"):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        comfy, parts = self.comfy, urllib.parse.urlsplit(self.path)
        ask = dict(urllib.parse.parse_qsl(parts.query))
        if parts.path == "/ws":
            return self.websocket(ask.get("clientId", ""))
        if parts.path == "/object_info":
            return self.answer(INFO)
        if parts.path == "/system_stats":
            return self.answer({"system": {"comfyui_version": "0.3.60"}, "devices": []})
        if parts.path == "/queue":
            with comfy.lock:
                return self.answer({"queue_running": [comfy.running] if comfy.running else [], "queue_pending": comfy.pending})
        if parts.path.startswith("/history/"):
            prompt_id = parts.path.split("/")[2]
            return self.answer({prompt_id: comfy.history[prompt_id]} if prompt_id in comfy.history else {})
        if parts.path == "/view":
            content = comfy.files.get((ask.get("type", "output"), ask.get("subfolder", ""), ask.get("filename")))
            return self.answer(content, kind="image/png") if content else self.answer(b"", 404)
        return self.answer({}, 404)

    def do_POST(self):
        comfy, path = self.comfy, self.path.split("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/upload/image":
            mark = self.headers["Content-Type"].split("boundary=")[1].encode()
            fields, name = {}, None
            for part in body.split(b"--" + mark)[1:-1]:
                head, content = part.strip(b"\r\n").split(b"\r\n\r\n", 1)
                if b'filename="' in head:
                    name, fields["image"] = head.split(b'filename="')[1].split(b'"')[0].decode(), content
                else:
                    fields[head.split(b'name="')[1].split(b'"')[0].decode()] = content.decode()
            comfy.files[(fields.get("type", "input"), fields.get("subfolder", ""), name)] = fields["image"]
            return self.answer({"name": name, "subfolder": fields.get("subfolder", ""), "type": fields.get("type", "input")})
        ask = json.loads(body or b"{}")
        if path == "/prompt":
            error, node_errors = comfy.validate(ask["prompt"])
            if error:
                return self.answer({"error": error, "node_errors": node_errors}, 400)
            with comfy.lock:
                comfy.number += 1
                prompt_id = ask.get("prompt_id") or hashlib.md5(str(comfy.number).encode()).hexdigest()
                entry = [comfy.number, prompt_id, ask["prompt"], {"client_id": ask.get("client_id")}, []]
                comfy.pending.append(entry)
                comfy.seen.append(prompt_id)
            comfy.wake.put(1)
            return self.answer({"prompt_id": prompt_id, "number": comfy.number, "node_errors": {}})
        if path == "/queue":
            with comfy.lock:
                comfy.pending = [one for one in comfy.pending if one[1] not in ask.get("delete", [])]
            return self.answer(b"")
        if path == "/interrupt":
            with comfy.lock:
                wanted = ask.get("prompt_id")
                if comfy.running and wanted in (None, comfy.running[1]):
                    comfy.interrupted = True
            return self.answer(b"")
        return self.answer({}, 404)

    def websocket(self, client):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.wfile.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        self.wfile.flush()
        self.comfy.sockets[client] = self.connection
        self.comfy.send(client, "status", {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client})
        try:
            while self.connection.recv(4096):
                pass
        except OSError:
            pass
        self.comfy.sockets.pop(client, None)
        self.close_connection = True


def start(port=0):
    comfy = Comfy()
    handler = type("Bound", (Handler,), {"comfy": comfy})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return comfy, server, f"http://127.0.0.1:{server.server_port}"


if __name__ == "__main__":
    _, _, address = start(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(address, flush=True)
    threading.Event().wait()
