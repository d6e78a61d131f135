"""Makes what a release hands out, in dist/: the same bytes from the same commit, on each machine.

`make release` runs it, and prints the digest to compare. Three things would differ from one machine to the next, and do not
here: a zip file's times, modes and order (all fixed), its compression (there is none: zlib's output depends on its version),
and what pip notes of an installation (`layers/dependencies/Makefile` removes it).
"""

import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
LAYER = ROOT / "layers" / "dependencies"
NAME = "license-conversion-gate"
COPIED = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "docs", "examples", "samconfig.toml",
          "schemas", "scripts/verify.py", "scripts/waiting.py", "statemachine")  # fmt: skip
"""What goes into a release as it is."""
PACKED = {
    r"(RespondFunction:\n(?: {4}.*\n)*? +CodeUri:) handlers\b": r"\1 respond.zip",  # a part of it: handlers/Makefile
    r"CodeUri: handlers\b": "CodeUri: handlers.zip",
    r"ContentUri: layers/dependencies\b": "ContentUri: dependencies.zip",
}
"""What the template of a release says in place of the folders that `sam build` reads, in this order."""
WITHOUT_A_CLONE = {
    r"(?s)## See it and test it\n.*?(?=## )": "",
    r" +git clone .*\n": "",
    r"AWS_REGION=(.*)\n( +)make deploy\n +make verify\b": (
        r"AWS_DEFAULT_REGION=\1\n\2sam deploy    # with parameters: sam deploy --parameter-overrides LogLevel=DEBUG "
        """'KmsKeyArn=""'"""
        r"\n\2python scripts/verify.py"
    ),
    r"`make delete` refuses while a gate waits\.": "`python -m scripts.waiting`, with boto3, says whether one waits; "
    "`sam delete` does not check.",
}
"""What the README of a release says in place of what needs the repository."""
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file knows
MODE = 0o100644 << 16


def version() -> str:
    """The version of the project: pyproject.toml is where it is said, and the others are held to it."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def changelog_heading() -> tuple[str, str]:
    """The version that the change log begins with, and what stands behind it: its date, or that it has none yet."""
    found = re.search(r"^## (\S+) - (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError("CHANGELOG.md has no heading of the form '## <version> - <date>'.")
    return found[1], found[2]


def reasons_against() -> list[str]:
    """Why this work tree must not be released."""
    changed = _output("git", "status", "--porcelain", "--untracked-files=no")
    said, date = changelog_heading()
    text = (ROOT / "template.yaml").read_text("utf-8")
    reasons = {
        "Tracked files have changes that are not committed.": changed,
        f"CHANGELOG.md begins with {said}, pyproject.toml says {version()}.": said != version(),
        f"template.yaml has no `Release: &release {version()}`.": f"Release: &release {version()}\n" not in text,
        f"CHANGELOG.md has no date for {said}: {date}.": not re.fullmatch(r"\d{4}-\d\d-\d\d", date),
    }
    return [reason for reason, holds in reasons.items() if holds]


def build(folder: Path) -> Path:
    """The release's zip file, written to `folder`."""
    content = _tracked(*COPIED)
    content["handlers.zip"] = _zip(
        {path.removeprefix("handlers/"): data for path, data in _tracked("handlers/*.py").items()}
    )
    content["respond.zip"] = _zip(_made(ROOT / "handlers", "RespondFunction"))
    content["dependencies.zip"] = _zip(_made(LAYER, "DependenciesLayer"))
    for name, made in (("template.yaml", PACKED), ("README.md", WITHOUT_A_CLONE)):
        content[name] = released((ROOT / name).read_text("utf-8"), made).encode()
    top = f"{NAME}-{version()}"
    folder.mkdir(parents=True, exist_ok=True)
    release = folder / f"{top}.zip"
    release.write_bytes(_zip({f"{top}/{path}": data for path, data in content.items()}))
    return release


def released(text: str, made: Mapping[str, str]) -> str:
    """The text with what a release has in place of what is in the repository."""
    for pattern, instead in made.items():
        text, count = re.subn(pattern, instead, text)
        if not count:
            raise ValueError(f"There is no '{pattern}' any more.")
    return text


def _made(source: Path, logical_id: str) -> dict[str, bytes]:
    """What the Makefile in `source` makes of it, as `sam build` has it made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(  # noqa: S603 - our own Makefile
            ["make", "--silent", f"build-{logical_id}", f"ARTIFACTS_DIR={folder}"],  # noqa: S607
            cwd=source,
            env=environment,
            check=True,
        )
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _tracked(*paths: str) -> dict[str, bytes]:
    names = _output("git", "ls-files", "-z", "--", *paths).split("\0")[:-1]
    return {name: (ROOT / name).read_bytes() for name in names}


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - git


def _zip(content: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for path, data in sorted(content.items()):
            entry = zipfile.ZipInfo(path, EPOCH)
            entry.external_attr = MODE
            entry.create_system = 3  # Unix, whatever this is: the modes are Unix's
            archive.writestr(entry, data)
    return file.getvalue()


if __name__ == "__main__":
    if reasons := reasons_against():
        sys.exit("Not released. " + " ".join(reasons))
    made = build(DIST)
    sys.stdout.write(f"{hashlib.sha256(made.read_bytes()).hexdigest()}  {made.relative_to(ROOT)}\n")
