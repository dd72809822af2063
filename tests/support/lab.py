"""A JupyterLab of its own folders, and Chromium to look at it; nothing of the user's leaks in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
STARTS_S = 120.0
WAIT_MS = 120_000


class Lab:
    """One running server; `folder` holds the notebooks, `home` our network's data."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address, self.folder = address, folder

    def url(self, notebook: str) -> str:
        """Return where a notebook is opened in a fresh workspace."""
        return f"{self.address}/lab/tree/{notebook}?reset"


@contextmanager
def lab(folder: Path, settings: Path, home: Path) -> Iterator[Lab]:
    """Run a server on `folder`; trust, settings and workspaces live under `settings`."""
    port = _free_port()
    environment = os.environ | {
        "HOME": str(settings),
        "GENSYN_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        environment[f"JUPYTER_{name}"] = str(settings / name)
    for name in ("SETTINGS_DIR", "WORKSPACES_DIR"):
        environment[f"JUPYTERLAB_{name}"] = str(settings / name)
    _use_this_python(settings / "DATA_DIR/kernels/python3")
    settings.mkdir(parents=True, exist_ok=True)
    log = (settings / "lab.log").open("ab")
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token=", "--ServerApp.password="]
    command += [f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True"]
    command += [
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/api/status", server)
        yield Lab(address, folder)
    finally:
        server.terminate()
        server.wait(60)
        log.close()


class Page:
    """A page of Chromium that notes every error it logs and every address it asks for."""

    def __init__(self, page: Any, own: str) -> None:
        self.page, self._own = page, own
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._see)

    def open(self, lab: Lab, notebook: str) -> None:
        """Open a notebook and wait for its cells."""
        self.page.goto(lab.url(notebook))
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")

    def kernel_ready(self) -> None:
        """Wait until the notebook has a kernel that is idle."""
        self.page.wait_for_function(
            "window.jupyterapp?.shell?.currentWidget?.context?.sessionContext"
            "?.session?.kernel?.status === 'idle'"
        )

    def command(self, name: str) -> None:
        """Run one of JupyterLab's commands without waiting for its end."""
        self.page.evaluate(f"() => {{ window.jupyterapp.commands.execute('{name}'); }}")

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def shot(self, name: str) -> None:
        """Keep a picture of the page under build/screenshots."""
        folder = ROOT / "build/screenshots"
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(folder / f"{name}.png"))

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} {message.location.get('url', '')}")

    def _see(self, request: Any) -> None:
        if not request.url.startswith(
            (self._own, "data:", "blob:", self._own.replace("http", "ws"))
        ):
            self.foreign.append(request.url)


@contextmanager
def page(own: str) -> Iterator[Page]:
    """Give a page in a fresh profile of Debian's Chromium; `own` is the only address it may ask."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), headless=True, args=list(QUIET)
        )
        # Tall: JupyterLab leaves out cells that are off the screen.
        made = browser.new_page(viewport={"width": 1280, "height": 1700})
        seen = Page(made, own)
        try:
            yield seen
        except BaseException:
            seen.shot("failed")
            raise
        finally:
            browser.close()


def _use_this_python(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(kernel))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTS_S
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.3)
