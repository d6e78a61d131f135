"""What a release hands out: one version everywhere, and the same bytes on each machine."""

import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from scripts import release
from tests.template import RESOURCES, ROOT, TEMPLATE

TOP = f"license-conversion-gate-{release.version()}"
BUILD = """
import os, pathlib, sys
from scripts import release
os.umask(0o077)
print(release.build(pathlib.Path(sys.argv[1])))
"""
ELSEWHERE = {
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",  # with the next one: a locale that knows ASCII alone
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONHASHSEED": "1",
    "PIP_USER": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_BINARY": ":all:",
    "PIP_TARGET": "/nowhere",
}


def test_the_change_log_and_the_template_say_the_version_of_the_project() -> None:
    assert release.changelog_heading()[0] == release.version()
    assert RESOURCES["Responder"]["Properties"]["Release"] == release.version()
    assert TEMPLATE["Outputs"]["Version"]["Value"] == release.version()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One release for all tests: its layer comes from the package index."""
    return release.build(tmp_path_factory.mktemp("release"))


def another_python(folder: Path) -> str:
    """A Python of another version than ours, in an environment of its own; ours where there is none."""
    for minor in {11, 12, 13, 14} - {sys.version_info.minor}:
        with suppress(FileNotFoundError, subprocess.CalledProcessError):  # a shim may stand for none
            subprocess.run([f"python3.{minor}", "-m", "venv", folder], check=True, capture_output=True)  # noqa: S603
            return str(folder / "bin" / "python")
    return sys.executable


@pytest.mark.slow
def test_a_build_is_the_same_byte_for_byte_on_each_machine(built: Path, tmp_path: Path) -> None:
    """With another Python, time zone, locale and umask, and with settings that a person may have for pip."""
    made = subprocess.run(  # noqa: S603 - a Python of this machine
        [another_python(tmp_path / "python"), "-c", BUILD, str(tmp_path)],
        cwd=ROOT, env={**os.environ, **ELSEWHERE}, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    digests = {hashlib.sha256(file.read_bytes()).hexdigest() for file in (built, Path(made.stdout.strip()))}
    assert len(digests) == 1


def test_a_page_of_a_release_links_to_what_is_in_it() -> None:
    pages = [path for name in release.COPIED for path in [ROOT / name, *(ROOT / name).rglob("*.md")]]
    for page in (page for page in pages if page.suffix == ".md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
            linked = (page.parent / target).resolve().relative_to(ROOT)
            assert linked.parts[0] in {*release.COPIED, "template.yaml"}, f"{page.name} links to {linked}"


@pytest.mark.slow
def test_a_release_has_the_template_and_all_that_it_names(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names, text = archive.namelist(), archive.read(f"{TOP}/template.yaml").decode()
        code, alone, layer = (
            zipfile.ZipFile(io.BytesIO(archive.read(f"{TOP}/{name}.zip"))).namelist()
            for name in ("handlers", "respond", "dependencies")
        )

    assert f"{TOP}/scripts/verify.py" in names
    for file in re.findall(r"(?:CodeUri|ContentUri|DefinitionS3Location): (\S+)", text):
        assert f"{TOP}/{file}" in names
    assert {"custom_resource.py", "respond.py", "license_conversion/gate.py"} <= set(code)
    assert {"respond.py", "license_conversion/response.py"} <= set(alone) < set(code)
    assert "python/crhelper/__init__.py" in layer
    assert not [name for name in layer if re.search(r"\.(so|pyd)\b", name)]  # it serves arm64 and x86_64
    assert not [name for name in code + alone + layer if "__pycache__" in name or name.endswith("RECORD")]


@pytest.mark.parametrize("names", ["RespondFunction:", "CodeUri: handlers", "ContentUri: layers/dependencies"])
def test_a_template_that_says_it_otherwise_is_no_release(names: str) -> None:
    template = (ROOT / "template.yaml").read_text()

    with pytest.raises(ValueError, match="any more"):
        release.released(template.replace(names, "Elsewhere: elsewhere"), release.PACKED)


def test_the_readme_of_a_release_is_true_in_it(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        names, text = set(archive.namelist()), archive.read(f"{TOP}/README.md").decode()

    linked = set(re.findall(r"(?:\]\(|src=\"|--template-file )(?!https:)([^)#\"\s]+)", text)) - {"examples/"}
    assert len(linked) > 20
    assert {f"{TOP}/{path}" for path in linked} <= names
    assert f"{TOP}/scripts/waiting.py" in names
    assert not re.findall(r"(?:`|^ *)(?:make|git) .*", text, re.MULTILINE)
    assert re.search(r"""^ +sam deploy .*--parameter-overrides \S+ 'KmsKeyArn=""'$""", text, re.MULTILINE)
