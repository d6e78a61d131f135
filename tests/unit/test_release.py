"""What a release hands out: one version everywhere, and the same bytes whoever builds it."""

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
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from scripts import release
from tests.template import RESOURCES
from tests.template import TEMPLATE as APPLICATION

TEMPLATE = release.ROOT / "template.yaml"


def test_the_change_log_and_the_template_say_the_version_of_the_project() -> None:
    assert release.changelog_heading()[0] == release.version()
    assert RESOURCES["Responder"]["Properties"]["Release"] == release.version()
    assert APPLICATION["Outputs"]["Version"]["Value"] == release.version()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One release for all tests: its layer comes from the package index."""
    return release.build(tmp_path_factory.mktemp("release"))


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


BUILD = """
import os, pathlib, sys
from scripts import release
os.umask(0o077)
print(release.build(pathlib.Path(sys.argv[1])))
"""


def built_elsewhere(python: str, folder: Path) -> Path:
    """A release built by that Python, with another time zone, locale, umask, and what a person may have told pip."""
    said = subprocess.run(  # noqa: S603 - a Python of this machine
        [python, "-c", BUILD, str(folder)],
        cwd=release.ROOT, env={**os.environ, **ELSEWHERE}, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Path(said.stdout.strip())


def another_python(folder: Path) -> str:
    """A Python of another version than ours, in an environment of its own; skips where there is none."""
    for minor in {11, 12, 13, 14} - {sys.version_info.minor}:
        with suppress(
            FileNotFoundError, subprocess.CalledProcessError
        ):  # a shim may be there without what it stands for
            subprocess.run([f"python3.{minor}", "-m", "venv", folder], check=True, capture_output=True)  # noqa: S603
            return str(folder / "bin" / "python")
    pytest.skip("needs a Python of another version")


@pytest.mark.slow
def test_a_build_is_the_same_byte_for_byte_whoever_makes_it(built: Path, tmp_path: Path) -> None:
    assert digest(built_elsewhere(sys.executable, tmp_path)) == digest(built)


@pytest.mark.slow
def test_a_build_is_the_same_byte_for_byte_with_another_python(built: Path, tmp_path: Path) -> None:
    assert digest(built_elsewhere(another_python(tmp_path / "python"), tmp_path)) == digest(built)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_page_of_a_release_links_to_what_is_in_it() -> None:
    pages = [path for name in release.COPIED for path in [release.ROOT / name, *(release.ROOT / name).rglob("*.md")]]
    for page in (page for page in pages if page.suffix == ".md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text()):
            linked = (page.parent / target).resolve().relative_to(release.ROOT)
            assert linked.parts[0] in {*release.COPIED, "template.yaml"}, f"{page.name} links to {linked}"


@pytest.mark.slow
def test_a_release_has_the_template_and_all_that_it_names(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        top = f"license-conversion-gate-{release.version()}"
        names = set(archive.namelist())
        text = archive.read(f"{top}/template.yaml").decode()
        code = zipfile.ZipFile(io.BytesIO(archive.read(f"{top}/handlers.zip"))).namelist()
        alone = zipfile.ZipFile(io.BytesIO(archive.read(f"{top}/respond.zip"))).namelist()
        layer = zipfile.ZipFile(io.BytesIO(archive.read(f"{top}/dependencies.zip"))).namelist()

    assert f"{top}/scripts/verify.py" in names
    for file in re.findall(r"(?:CodeUri|ContentUri|DefinitionS3Location): (\S+)", text):
        assert f"{top}/{file}" in names
    assert {"custom_resource.py", "respond.py", "license_conversion/gate.py"} <= set(code)
    assert {"respond.py", "license_conversion/response.py"} <= set(alone) < set(code)
    assert "python/crhelper/__init__.py" in layer
    assert not [name for name in layer if re.search(r"\.(so|pyd)\b", name)]  # it serves arm64 and x86_64
    assert not [name for name in code + alone + layer if "__pycache__" in name or name.endswith("RECORD")]


@pytest.mark.parametrize("names", ["RespondFunction:", "CodeUri: handlers", "ContentUri: layers/dependencies"])
def test_a_template_that_says_it_otherwise_is_no_release(names: str) -> None:
    with pytest.raises(ValueError, match="any more"):
        release.released(TEMPLATE.read_text().replace(names, "Elsewhere: elsewhere"), release.PACKED)


def test_the_readme_of_a_release_is_true_in_it(built: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        top = f"license-conversion-gate-{release.version()}"
        text = archive.read(f"{top}/README.md").decode()
        names = set(archive.namelist())

    linked = set(re.findall(r"(?:\]\(|src=\"|--template-file )(?!https:)([^)#\"\s]+)", text)) - {"examples/"}
    assert len(linked) > 20
    assert {f"{top}/{path}" for path in linked} <= names
    assert f"{top}/scripts/waiting.py" in names
    assert not re.findall(r"(?:`|^ *)(?:make|git) .*", text, re.MULTILINE)
    assert re.search(r"""^ +sam deploy .*--parameter-overrides \S+ 'KmsKeyArn=""'$""", text, re.MULTILINE)


def test_the_responder_alone_gets_its_own_zip() -> None:
    said = yaml_parse(release.released(TEMPLATE.read_text(), release.PACKED))["Resources"]
    code = {name: one["Properties"]["CodeUri"] for name, one in said.items() if "CodeUri" in one["Properties"]}

    assert {name for name, uri in code.items() if uri == "respond.zip"} == {"RespondFunction"}
    assert {uri for name, uri in code.items() if name != "RespondFunction"} == {"handlers.zip"}
