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

    def serve(self, body, given=None, head="@tool(makes='text/plain')\n"):
        """A job of a function's body, which ends with a text: its exit status, what was said, and its log."""
        code = HEAD + head + body + "    open('x.txt', 'w').write('made')\n    return 'x.txt'\n"
        ran = self.python("-m", "backlot", "serve", "one.py", code=code, given={"input": given or {}, "output_dir": str(self.root)})
        return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr

    def test_what_only_shows_how_it_goes_costs_nobody_the_result(self):
        misuses = ["progress(float('nan'))", "progress('half')", "progress(None)", "progress(0.5, member='x')", "preview(None)", "preview('a.png')"]
        for misuse in misuses:
            status, said, log = self.serve(f"def f():\n    {misuse}\n")
            self.assertEqual((status, len(said)), (0, 1), misuse)
            self.assertIn("is left out", log)
        status, said, _ = self.serve("def f():\n    progress(50, 'x' * 100_000)\n    progress(-1)\n")
        self.assertEqual([said[0]["progress"], len(said[0]["note"]), said[1]["progress"]], [1.0, 200, 0.0])

    def test_what_other_programs_print_and_read_leaves_the_protocol_alone(self):
        body = "def f():\n    import subprocess, sys\n    subprocess.run([sys.executable, '-c', \"print('half a line', end='')\"])\n"
        body += "    print(subprocess.run(['cat'], capture_output=True).stdout)\n    progress(0.5)\n"
        for head in ["@tool(makes='text/plain')\n", "@tool(makes='text/plain', pausable=True)\n"]:
            status, said, log = self.serve(body, head=head)
            self.assertEqual((status, [list(one) for one in said]), (0, [["progress", "note"], ["output"]]))
            self.assertIn("half a line", log)

    def test_threads_say_whole_lines(self):
        body = "def f():\n    import threading\n    say = lambda: [progress(0.5, 'n' * 50) for _ in range(200)]\n"
        body += "    all = [threading.Thread(target=say) for _ in range(8)]\n    [one.start() for one in all]\n    [one.join() for one in all]\n"
        status, said, _ = self.serve(body)
        self.assertEqual((status, len(said)), (0, 1_601))

    def test_a_picture_is_what_the_tool_says_that_it_makes(self):
        code = HEAD + "class Fake:\n    size, mode = (1, 1), 'RGBA'\n    def convert(self, mode):\n        self.mode = mode\n        return self\n"
        code += "    def save(self, path):\n        open(path, 'w').write(self.mode)\n"
        for makes, kind, content in [("image/jpeg", "image/jpeg", "RGB"), ("image/png", "image/png", "RGBA"), ("video/mp4", "image/png", "RGBA")]:
            tool = f"{code}@tool(makes='{makes}')\ndef f():\n    return Fake()\n"
            ran = self.python("-m", "backlot", "serve", "one.py", code=tool, given={"input": {}, "output_dir": str(self.root)})
            output = json.loads(ran.stdout.splitlines()[-1])["output"][0]
            self.assertEqual((output["content_type"], pathlib.Path(output["path"]).read_text()), (kind, content))

    def test_every_end_has_its_last_word(self):
        cases = [
            ("import sys; sys.exit('bad luck')", "SystemExit: bad luck (one.py, line 5)"),
            ("raise ValueError('\\ud800 odd')", "ValueError: ? odd (one.py, line 5)"),
            ("raise InvalidInput()", "The tool does not take this input."),
        ]
        for code, expected in cases:
            status, said, _ = self.serve(f"def f():\n    {code}\n")
            self.assertEqual((status, said[-1]["error"]), (1, expected))
        _, said, _ = self.serve("def f():\n    raise ValueError('x' * 100_000)\n")
        self.assertLess(len(said[-1]["error"]), 3_000)

    def test_choices_give_what_they_name_and_what_was_not_given_is_none(self):
        code = "import enum\nclass Mode(enum.Enum):\n    SLOW = 'slow'\n    FAST = 'fast'\n@tool(makes='text/plain')\n"
        code += "def f(times: Literal[1, 2, 4] = 2, mode: Mode = Mode.SLOW, seed: int | None = None, text: Text() = None):\n"
        schema = self.describe(HEAD + code + "    ...\n")["manifest"]["input"]
        fields = schema["properties"]
        self.assertEqual((fields["times"]["enum"], fields["times"]["default"]), (["1", "2", "4"], "2"))
        self.assertEqual((fields["mode"]["enum"], fields["mode"]["default"]), (["slow", "fast"], "slow"))
        self.assertEqual((schema["required"], fields["seed"]["type"]), ([], "integer"))
        self.assertTrue("default" not in fields["seed"] and "default" not in fields["text"])
        body = code.split(HEAD)[-1].split("@tool(makes='text/plain')\n")
        check = "    assert (times, mode, seed, text) == (4, Mode.FAST, None, None), (times, mode)\n"
        status, said, _ = self.serve(body[1] + check, {"times": "4", "mode": "fast"}, head=body[0] + "@tool(makes='text/plain')\n")
        self.assertEqual(status, 0, said)

    def test_a_form_that_cannot_be_is_refused_with_its_line(self):
        cases = [
            ("x: Number(0, 1) = 5", "its default 5 must be at most 1"), ("x: Whole(0, 5) = 2.5", "no whole number"),
            ("x: Choice('a', 'b') = 'c'", "one of a, b"), ("x: bool = 1", "True or False"), ("x: str = 1", "is no text"),
            ("x: Number(5, 1)", "min is not more than max"), ("x: Number('Title')", "a name is title="), ("x: Text('Name')", "whole numbers"),
            ("x: Number(0, 1) = float('nan')", "no number"), ("x: list[str]", "needs a type"), ("x: Choice('1', 1)", "different words"),
        ]  # fmt: skip
        for parameter, expected in cases:
            answer = self.describe(f"{HEAD}@tool()\ndef f({parameter}):\n    ...\n")
            self.assertIn(expected, answer.get("error", str(answer)), parameter)
            self.assertIn(answer["line"], (3, 4), parameter)
        for head, expected in [("@tool", "brackets"), ("@tool(price=0.02)", "micro-credits"), ("@tool(price='1')", "micro-credits"), ("@tool(makes='png')", "media type")]:
            self.assertIn(expected, self.describe(f"{HEAD}{head}\ndef f():\n    ...\n")["error"])
        self.assertIn("plain function", self.describe(f"{HEAD}@tool()\nasync def f():\n    ...\n")["error"])

    def test_a_tool_may_use_another_files_tool(self):
        (self.root / "other.py").write_text(HEAD + "@tool()\ndef g():\n    ...\n")
        self.assertEqual(self.describe(HEAD + "from other import g\n@tool()\ndef f():\n    ...\n")["manifest"]["name"], "f")

    def test_the_command_line_says_what_is_wrong(self):
        code = HEAD + "@tool(makes='text/plain')\ndef f(out: Whole(0, 9, help='in % of all') = 3):\n"
        code += "    if out == 4:\n        raise InvalidInput('not four')\n    open('x.txt', 'w').write(str(out))\n    return 'x.txt'\nf.main()\n"
        self.assertIn("in % of all", self.python("one.py", "--help", code=code).stdout)
        self.assertIn("--out must be at most 9", self.python("one.py", "--out", "10", code=code).stderr)
        ran = self.python("one.py", "--out", "4", code=code)
        self.assertTrue("not four" in ran.stderr and "Traceback" not in ran.stderr, ran.stderr)
        self.assertEqual(self.python("one.py", "--out", "5", code=code).returncode, 0)

    def test_the_same_file_runs_from_the_command_line(self):
        (self.root / "in.txt").write_text("y")
        ran = self.python("one.py", "--file", "in.txt", "--times", "2", "--out", "made")
        self.assertEqual((self.root / ran.stdout.strip().splitlines()[-1]).read_text(), "yy", ran.stderr)
        self.assertIn("--file", self.python("one.py").stderr)


if __name__ == "__main__":
    unittest.main()
