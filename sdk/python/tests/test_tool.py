"""The decorator, the manifest, the command line and the command protocol, without Pillow."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

LIBRARY = pathlib.Path(__file__).resolve().parent.parent
HEAD = "from typing import Literal\nfrom backlot import *\n"
COPY = HEAD + (
    '@tool(label="Copy", price=5_000, makes="text/plain")\n'
    "def copy_it(file: Asset('text/plain'), times: Whole(1, 9) = 2, mode: Literal['a', 'b'] = 'a', loud: bool = False):\n"
    '    "Copies a text."\n'
    "    print('a word')\n"
    "    progress(0.5, mode)\n"
    "    path = file + '.copy.txt'\n"
    "    open(path, 'w').write(open(file).read() * times)\n"
    "    return path\n"
    "if __name__ == '__main__':\n    copy_it.main()\n"
)


class Tools(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def python(self, *arguments, code=COPY, given=None):
        (self.root / "one.py").write_text(code)
        return subprocess.run(
            [sys.executable, "-B", *arguments], cwd=self.root, input=json.dumps(given) if given else "", text=True,
            capture_output=True, env={**os.environ, "PYTHONPATH": str(LIBRARY)}, timeout=60,
        )  # fmt: skip

    def describe(self, code):
        return json.loads(self.python("-m", "backlot", "describe", "one.py", code=code).stdout)

    def test_annotations_are_the_form(self):
        manifest = self.describe(COPY)["manifest"]
        self.assertEqual((manifest["name"], manifest["description"]), ("copy-it", "Copies a text."))
        schema = manifest["input"]
        self.assertEqual((schema["required"], schema["additionalProperties"]), (["file"], False))
        properties = schema["properties"]
        self.assertEqual([properties[name]["x-ui"]["order"] for name in properties], [1, 2, 3, 4])
        self.assertEqual((properties["times"]["maximum"], properties["times"]["default"]), (9, 2))
        self.assertEqual((properties["mode"]["enum"], properties["loud"]["type"]), (["a", "b"], "boolean"))

    def test_a_broken_file_says_what_and_where(self):
        cases = [
            ("@tool()\ndef f(:\n", "SyntaxError", 4),
            ("x = 1 / 0\n", "ZeroDivisionError", 3),
            ("@tool()\ndef f(a): pass\n", '"a" needs a type', 3),
            ("@tool()\ndef f(*a: int): pass\n", "named parameters only", 3),
            ("x = 1\n", "0 functions with @tool", None),
            ("@tool()\ndef f(): pass\n@tool()\ndef g(): pass\n", "2 functions", None),
            ("import nothing_like_it\n", "ModuleNotFoundError", 3),
            ("raise SystemExit(3)\n", "SystemExit", 3),
        ]
        for code, words, line in cases:
            answer = self.describe(HEAD + code)
            self.assertIn(words, answer["error"])
            if line:
                self.assertEqual(answer["line"], line, code)

    def test_a_job_gives_its_file_and_keeps_prints_out_of_the_protocol(self):
        (self.root / "in.txt").write_text("x")
        (self.root / "out").mkdir()
        given = {"input": {"file": str(self.root / "in.txt"), "times": 3, "unknown": 1}, "output_dir": str(self.root / "out")}
        ran = self.python("-m", "backlot", "serve", "one.py", given=given)
        said = [json.loads(line) for line in ran.stdout.splitlines()]
        self.assertEqual(said[0], {"progress": 0.5, "note": "a"})
        self.assertEqual(pathlib.Path(said[-1]["output"][0]["path"]).read_text(), "xxx")
        self.assertIn("a word", ran.stderr)

    def test_a_pausable_tool_is_held_where_it_says_how_far_it_is(self):
        code = HEAD + "@tool(pausable=True, makes='text/plain')\ndef f(n: Whole(1, 9)):\n"
        code += "    for at in range(n):\n        progress(at / n)\n    open('x.txt', 'w').write('made')\n    return 'x.txt'\n"
        (self.root / "one.py").write_text(code)
        with subprocess.Popen(
            [sys.executable, "-B", "-m", "backlot", "serve", "one.py"], cwd=self.root, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(LIBRARY)},
        ) as tool:  # fmt: skip
            given = json.dumps({"input": {"n": 3}, "output_dir": str(self.root)})
            # One wish is taken back before it is read, one that is not known is passed over, the last one counts.
            wishes = ['{"pause": true}', '{"resume": true}', '{"other": 1}', '{"pause": true}']
            tool.stdin.write("\n".join([given, *wishes]) + "\n")
            said = [json.loads(tool.stdout.readline()) for _ in range(2)]
            self.assertEqual(said, [{"progress": 0.0, "note": ""}, {"paused": True}])
            tool.stdin.write('{"resume": true}\n')
            self.assertEqual(json.loads(tool.stdout.readline()), {"paused": False})
            rest = [json.loads(line) for line in tool.stdout]
        self.assertEqual([one["progress"] for one in rest[:2]], [1 / 3, 2 / 3])
        self.assertEqual(pathlib.Path(rest[-1]["output"][0]["path"]).read_text(), "made")
        self.assertEqual(tool.returncode, 0)

    def test_a_held_tool_goes_on_when_nobody_is_left_to_say_so(self):
        code = HEAD + "@tool(pausable=True, makes='text/plain')\ndef f():\n    progress(0.5)\n    open('x.txt', 'w').write('made')\n    return 'x.txt'\n"
        given = json.dumps({"input": {}, "output_dir": str(self.root)}) + '\n{"pause": true}\n'
        (self.root / "one.py").write_text(code)
        ran = subprocess.run(
            [sys.executable, "-B", "-m", "backlot", "serve", "one.py"], cwd=self.root, input=given, text=True,
            capture_output=True, env={**os.environ, "PYTHONPATH": str(LIBRARY)}, timeout=60,
        )  # fmt: skip
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("output", json.loads(ran.stdout.splitlines()[-1]))

    def test_several_jobs_run_in_one_call_and_each_has_its_own_end(self):
        code = HEAD + "@tool(batch=4, batch_key=['times'], makes='text/plain')\ndef f(word: Text(), times: Whole(1, 9) = 2):\n    ...\n\n"
        code += "@f.together\ndef many(inputs):\n    made = []\n    for at, one in enumerate(inputs):\n        progress(0.5, one.word, member=at)\n"
        code += "        if one.word == 'bad':\n            made.append(InvalidInput('no such word'))\n            continue\n"
        code += "        name = f'{at}.txt'\n        open(name, 'w').write(one.word * one.times)\n        made.append(name)\n    return made\n"
        folders = [self.root / str(at) for at in range(3)]
        for folder in folders:
            folder.mkdir()
        inputs = [{"word": "a"}, {"word": "bad"}, {"word": "b", "times": 3}]
        given = {"batch": [{"input": one, "output_dir": str(folder)} for one, folder in zip(inputs, folders)]}
        ran = self.python("-m", "backlot", "serve", "one.py", code=code, given=given)
        said = [json.loads(line) for line in ran.stdout.splitlines()]
        self.assertEqual([one["member"] for one in said], [0, 1, 2, 0, 1, 2])
        self.assertEqual(said[4], {"error": "no such word", "class": "invalid_input", "member": 1})
        self.assertEqual(pathlib.Path(said[3]["output"][0]["path"]).read_text(), "aa")
        self.assertEqual(pathlib.Path(said[5]["output"][0]["path"]).read_text(), "bbb")
        self.assertEqual(self.describe(code)["manifest"]["batch"], {"max": 4, "key": ["times"], "memory_mib": 0, "more_permille": 0})
        broken = code.replace("['times']", "['time']")
        self.assertIn("no parameter", self.describe(broken)["error"])
        self.assertIn("together", self.describe(code.split("@f.together")[0])["error"])
        # What fails outside of a job fails all of them.
        ran = self.python("-m", "backlot", "serve", "one.py", code=code.replace("return made", "return made[1:]"), given=given)
        self.assertNotIn("member", json.loads(ran.stdout.splitlines()[-1]))

    def test_failures_are_the_callers_or_the_tools(self):
        given = {"input": {}, "output_dir": str(self.root)}
        body = HEAD + "@tool()\ndef f():\n    {}\n"
        cases = [
            ("raise InvalidInput('too dark')", {"error": "too dark", "class": "invalid_input"}),
            ("return 1 / 0", {"error": "ZeroDivisionError: division by zero (one.py, line 5)", "class": "model_error"}),
            ("pass", None),
            ("return object()", None),
        ]
        for code, expected in cases:
            ran = self.python("-m", "backlot", "serve", "one.py", code=body.format(code), given=given)
            last = json.loads(ran.stdout.splitlines()[-1])
            self.assertEqual(ran.returncode, 1)
            self.assertEqual(last, expected or {**last, "class": "model_error"})

    def test_the_same_file_runs_from_the_command_line(self):
        (self.root / "in.txt").write_text("y")
        ran = self.python("one.py", "--file", "in.txt", "--times", "2", "--out", "made")
        self.assertEqual((self.root / ran.stdout.strip().splitlines()[-1]).read_text(), "yy", ran.stderr)
        self.assertIn("--file", self.python("one.py").stderr)


if __name__ == "__main__":
    unittest.main()
