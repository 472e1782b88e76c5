"""The bridge to ComfyUI against the stand-in: proposals, jobs, failures, cancels."""

import copy
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import standin
from backlot import comfyui

WORKFLOW = json.loads((HERE / "workflow.json").read_text())


def changed(node, **inputs):
    workflow = copy.deepcopy(WORKFLOW)
    workflow[node]["inputs"].update(inputs)
    return workflow


class Proposals(unittest.TestCase):
    def test_literal_inputs_become_fields_and_the_usual_ones_are_chosen(self):
        proposal = comfyui.propose(WORKFLOW, standin.INFO)
        chosen = [field["name"] for field in proposal["fields"] if field["chosen"]]
        self.assertEqual(chosen, ["seed", "steps", "cfg", "denoise", "width", "height", "text", "text_negative_prompt"])
        self.assertEqual([output["node"] for output in proposal["outputs"]], ["9"])
        self.assertFalse(proposal["missing_nodes"] or proposal["missing_models"] or proposal["problems"])
        seed = next(field for field in proposal["fields"] if field["name"] == "seed")
        self.assertEqual((seed["schema"]["maximum"], seed["default"]), ((1 << 53) - 1, 42))

    def test_what_the_server_lacks_is_listed(self):
        workflow = changed("4", ckpt_name="flux.safetensors")
        workflow["10"] = {"class_type": "FaceDetailer", "inputs": {"image": ["8", 0]}}
        proposal = comfyui.propose(workflow, standin.INFO)
        self.assertEqual(proposal["missing_nodes"], [{"node": "10", "class_type": "FaceDetailer", "title": "FaceDetailer"}])
        self.assertEqual(proposal["missing_models"][0]["model"], "flux.safetensors")
        self.assertEqual(proposal["missing_models"][0]["here"], standin.MODELS)
        self.assertIn("sampler_name", comfyui.propose(changed("3", sampler_name="lcm"), standin.INFO)["problems"][0])

    def test_what_is_no_workflow_is_refused_with_a_reason(self):
        bad = [
            ({"nodes": [], "links": []}, "Export (API)"),
            ([], "object"),
            ({"1": {"inputs": {}}}, "class_type"),
            (changed("8", samples=["99", 0]), "99"),
            (changed("6", clip=["6", 0]), "circle"),
        ]
        for workflow, reason in bad:
            with self.assertRaisesRegex(comfyui.Refused, reason.replace("(", r"\(").replace(")", r"\)")):
                comfyui.propose(workflow, standin.INFO)

    def test_a_manifest_has_the_chosen_fields_in_their_order(self):
        fields = [{"node": "6", "input": "text", "name": "prompt", "title": "Prompt"}, {"node": "3", "input": "seed"}]
        described = comfyui.manifest({"workflow": WORKFLOW, "fields": fields, "price_micro": 70_000}, standin.INFO)
        self.assertEqual(list(described["input"]["properties"]), ["prompt", "seed"])
        self.assertEqual(described["price"], [{"label": "Run", "amount": 70_000}])
        for wrong in ({"node": "3", "input": "model"}, {"node": "6", "input": "text", "name": "Two Words"}):
            with self.assertRaises(comfyui.Refused):
                comfyui.manifest({"workflow": WORKFLOW, "fields": [wrong]}, standin.INFO)


class Jobs(unittest.TestCase):
    def setUp(self):
        self.comfy, self.server, self.url = standin.start()
        self.folder = tempfile.TemporaryDirectory()
        self.out = pathlib.Path(self.folder.name) / "out"
        self.out.mkdir()

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()
        self.folder.cleanup()

    def start(self, given, workflow=WORKFLOW, fields=None):
        fields = fields or [{"node": "3", "input": name, "name": name} for name in ("seed", "steps")]
        described = pathlib.Path(self.folder.name) / "workflow.json"
        described.write_text(json.dumps({"url": self.url, "workflow": workflow, "fields": fields}))
        code = "import sys; from backlot import comfyui; sys.exit(comfyui.serve(sys.argv[1]))"
        process = subprocess.Popen(
            [sys.executable, "-B", "-c", code, str(described)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(HERE.parent)},
        )  # fmt: skip
        process.stdin.write(json.dumps({"input": given, "output_dir": str(self.out)}))
        process.stdin.close()
        process.stdin = None
        return process

    def job(self, given, **more):
        stdout, stderr = self.start(given, **more).communicate(timeout=60)
        return [json.loads(line) for line in stdout.splitlines()], stderr

    def test_a_job_makes_its_picture_and_tells_how_it_goes(self):
        said, stderr = self.job({"seed": 5, "steps": 12})
        self.assertIn("output", said[-1], stderr)
        output = said[-1]["output"][0]
        self.assertTrue(pathlib.Path(output["path"]).read_bytes().startswith(b"\x89PNG"))
        self.assertEqual(output["content_type"], "image/png")
        fractions = [line["progress"] for line in said if "progress" in line]
        self.assertTrue(len(fractions) > 12 and fractions == sorted(fractions), fractions)
        self.assertTrue(any("preview" in line for line in said))

    def test_a_picture_is_uploaded_and_a_text_that_names_a_file_is_not(self):
        workflow = {
            "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
            "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
        }
        fields = [{"node": "1", "input": "image", "name": "picture"}, {"node": "3", "input": "filename_prefix", "name": "text"}]
        picture = pathlib.Path(self.folder.name) / "0-photo.png"
        picture.write_bytes(standin.png(4, 4, 9))
        said, stderr = self.job({"picture": str(picture), "text": "/etc/hostname"}, workflow=workflow, fields=fields)
        self.assertIn("output", said[-1], stderr)
        uploaded = [content for (kind, folder, _), content in self.comfy.files.items() if (kind, folder) == ("input", "backlot")]
        self.assertEqual(uploaded, [picture.read_bytes()])

    def test_failures_say_which_node_and_why(self):
        said, _ = self.job({"seed": 666, "steps": 1})
        self.assertEqual(said[-1], {"error": "node 3 (KSampler): CUDA out of memory", "class": "model_error"})
        said, _ = self.job({"seed": 1, "steps": 99_999})
        self.assertIn("Value bigger than max", said[-1]["error"])
        self.server.shutdown()
        self.server.server_close()
        said, _ = self.job({"seed": 1, "steps": 1})
        self.assertIn("does not answer", said[-1]["error"])

    def test_a_job_ends_although_its_socket_breaks(self):
        process = self.start({"seed": 1, "steps": 100})
        while not self.comfy.sockets or not self.comfy.running:
            time.sleep(0.01)
        for link in list(self.comfy.sockets.values()):
            link.shutdown(2)
        stdout, stderr = process.communicate(timeout=60)
        self.assertIn('"output"', stdout.splitlines()[-1], stderr)

    def test_a_cancel_stops_this_prompt_and_no_other(self):
        other = self.start({"seed": 1, "steps": 150})
        while not self.comfy.running:
            time.sleep(0.01)
        waiting = self.start({"seed": 2, "steps": 5_000})
        while not self.comfy.pending:
            time.sleep(0.01)
        # One that waits is taken out of the queue, and the one that runs goes on.
        waiting.send_signal(signal.SIGTERM)
        waiting.communicate(timeout=10)
        self.assertEqual((waiting.returncode, self.comfy.pending), (1, []))
        stdout, _ = other.communicate(timeout=60)
        self.assertIn('"output"', stdout)
        # One that runs is interrupted, and has stopped when its process has.
        runs = self.start({"seed": 3, "steps": 5_000})
        while not self.comfy.running:
            time.sleep(0.01)
        runs.send_signal(signal.SIGTERM)
        runs.communicate(timeout=10)
        self.assertIsNone(self.comfy.running)
        self.assertEqual(self.comfy.history[self.comfy.seen[-1]]["status"]["messages"][-1][0], "execution_interrupted")


if __name__ == "__main__":
    unittest.main()
