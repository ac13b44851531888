# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Models of the hub: a server on the loopback interface that speaks its protocol, the cache, and what can go wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import pytest

from tests.inference.loading.huggingface_models import write_model
from tests.warmed_python import WarmedPython

pytest.importorskip("transformers")

OFFER = "refs/pr/1"
"""A revision in which the hub's bot offers safetensors."""
COMMIT = hashlib.sha1(b"model").hexdigest()
LOAD = """
import sys
from ciae_ros.inference import CheckpointError, load_for_backend
for name in sys.argv[1:]:
    try:
        model = load_for_backend(name)
    except CheckpointError as error:
        print("refused:", error)
    else:
        print("loaded:", model.name, model.digest)
"""


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's protocol that a download needs."""

    models: ClassVar[dict[str, Path]] = {}
    requests: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *arguments: object) -> None:
        pass

    def _answer(self, with_body: bool) -> None:
        self.requests.append(self.path)
        path = self.path.partition("?")[0].strip("/")
        parts = path.split("/") if path.startswith("api/models/") else unquote(path).replace(OFFER, "main").split("/")
        is_api = parts[:2] == ["api", "models"]
        owner, name, *rest = parts[2:] if is_api else parts
        if owner == "gated" and not is_api:
            self._send(403, {"X-Error-Code": "GatedRepo"}, b"access to model gated/model is restricted", with_body)
            return
        folder = self.models.get(f"{owner}/{name}", self.models["tue/eomt"] if owner in ("gated", "cut") else None)
        if folder is None:
            self._send(401, {"X-Error-Code": "RepoNotFound"}, b"Repository Not Found", with_body)
        elif unquote(rest[1]) not in ("main", OFFER, COMMIT):
            self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"Revision Not Found", with_body)
        elif is_api and rest[0] == "revision":
            info = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": []}
            self._send(200, {}, json.dumps(info).encode(), with_body)
        elif is_api:
            files = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": etag(path)}
                for path in sorted(folder.iterdir())
            ]
            self._send(200, {}, json.dumps(files).encode(), with_body)
        else:
            path = folder / rest[2]
            if owner == "cut" and with_body and path.suffix == ".safetensors":
                self._send(200, {}, path.read_bytes()[:1000], with_body, announced=path.stat().st_size)
                self.close_connection = True
                return
            headers = {"ETag": f'"{etag(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            self._send(200, headers, path.read_bytes(), with_body)

    def _send(
        self, code: int, headers: dict[str, str], body: bytes, with_body: bool, announced: int | None = None
    ) -> None:
        self.send_response(code)
        length = str(len(body) if announced is None else announced)
        for key, value in {**headers, "Content-Length": length, "Content-Type": "application/json"}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a model with a pickle and code beside it; returns the address."""
    folder = write_model("eomt", tmp_path_factory.mktemp("hub") / "eomt")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "modeling.py").write_text("code")
    (folder / "README.md").write_text("a card")
    Hub.models = {"tue/eomt": folder}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def load(home: Path, endpoint: str, *models: str, offline: str = "0") -> list[str]:
    """Load models in a process, because the library reads its environment once; returns a line for each."""
    Hub.requests.clear()
    process = WarmedPython(
        ["-c", LOAD, *models],
        env={**os.environ, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": offline},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]
    assert "Traceback" not in errors
    lines = output.splitlines()
    assert len(lines) == len(models)
    return lines


NOWHERE = "http://127.0.0.1:9"
"""An address at which nothing listens."""


@pytest.fixture(scope="module")
def downloaded(hub: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Download the model; returns the folder of the cache, and the line of the load."""
    home = tmp_path_factory.mktemp("cache")
    (line,) = load(home, hub, "hf://tue/eomt")
    assert line.startswith("loaded: tue/eomt ")
    fetched = {path.rpartition("/")[2] for path in Hub.requests if "/resolve/" in path}
    assert fetched == {"config.json", "preprocessor_config.json", "model.safetensors"}
    return home, line


def test_a_model_is_downloaded_once_and_then_loaded_from_the_cache(hub: str, downloaded: tuple[Path, str]) -> None:
    home, line = downloaded
    assert load(home, hub, "hf://tue/eomt") == [line]
    assert Hub.requests == []
    # Neither the network nor the server is needed any more.
    assert load(home, NOWHERE, f"hf://tue/eomt@{COMMIT}", "hf://tue/eomt@main", offline="1") == [line] * 2


def test_an_interrupted_download_is_continued(hub: str, downloaded: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(downloaded[0] / "hub", tmp_path / "hub", symlinks=True)
    (snapshot,) = (tmp_path / "hub").glob("models--*/snapshots/*")
    weights = snapshot / "model.safetensors"
    weights.resolve().unlink()
    weights.unlink()
    (refusal,) = load(tmp_path, NOWHERE, "hf://tue/eomt")
    assert refusal.startswith("refused: hf://tue/eomt is not in the local cache, and the hub cannot be reached")
    # The revision is one in which safetensors are offered.
    first, offered = load(tmp_path, hub, "hf://tue/eomt", f"hf://tue/eomt@{OFFER}")
    assert first == downloaded[1]
    assert offered.startswith("loaded: tue/eomt ")


REFUSALS = {
    "hf://tue/nothing": "does not exist on the hub, or is private: correct the name, or type hf auth",
    "hf://tue/eomt@v9": "does not exist: tue/eomt has no revision v9",
    "hf://gated/model": "is gated: accept its terms at https://huggingface.co/gated/model, then type",
    "hf://cut/model": "cannot be downloaded: ",
    "hf://tue/eo mt": "is not the name of a model on the Hugging Face hub",
}


def test_what_the_hub_does_not_give_is_explained(hub: str, tmp_path: Path) -> None:
    for (model, message), line in zip(REFUSALS.items(), load(tmp_path, hub, *REFUSALS), strict=True):
        assert line.startswith(f"refused: {model} {message}")


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_model_that_is_not_cached_needs_the_hub(tmp_path: Path, offline: str) -> None:
    (line,) = load(tmp_path, NOWHERE, "hf://tue/eomt", offline=offline)
    assert line.startswith(
        "refused: hf://tue/eomt is not in the local cache, and the hub cannot be reached: connect, or"
    )
    assert line.endswith("hf download tue/eomt")


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs unshare with user namespaces for a small disk",
)
def test_a_full_disk_is_reported(hub: str, tmp_path: Path) -> None:
    script = f"mount -t tmpfs -o size=128k none {tmp_path} && exec {sys.executable} -c '{LOAD}' hf://tue/eomt"
    run = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": hub},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "refused: hf://tue/eomt cannot be downloaded: no space is left in" in run.stdout, run.stderr[-2000:]
    assert len(run.stdout.splitlines()) == 1
