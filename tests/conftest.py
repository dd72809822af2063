"""What every test starts from, and the real Ethereum programs that some of them use."""

import json
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.chain.rpc_client import RpcClient
from gensyn_lightning.errors import LedgerError

# A shell that runs us in the background has us ignore Ctrl-C, and every process we start would
# inherit that; tests that interrupt something need it to be heard.
signal.signal(signal.SIGINT, signal.default_int_handler)

SCHEMAS = Path(__file__).parent.parent / "gensyn_lightning/cli/schemas"
FOUNDRY = Path(__file__).parent / "foundry/node_modules/@foundry-rs"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
WAIT_S = 60.0
LONGEST = ("tests/browser", "tests/integration")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first: files are handed out in order, and none should be left over."""
    items.sort(key=lambda each: not each.nodeid.startswith(LONGEST))


def program(name: str) -> Path:
    """Return one of Foundry's programs, as tests/foundry/package-lock.json pins it."""
    system, machine = platform.system().lower(), MACHINES.get(platform.machine(), "unknown")
    path = FOUNDRY / f"{name}-{system}-{machine}/bin/{name}"
    if not path.exists():
        pytest.fail(f"{path} is not there: remove {FOUNDRY.parent}, then run `make test`")
    return path


@dataclass
class Anvil:
    """A node of Foundry's, started and stopped by its test; it keeps its port for life."""

    options: tuple[str, ...]
    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the node and wait until it answers."""
        with (self.folder / "anvil.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program("anvil"), "--host=127.0.0.1", f"--port={self.port}", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + WAIT_S
        while not (self.port or self._listening()):
            self._check(deadline)
        while not self._answers():
            self._check(deadline)

    def stop(self) -> None:
        """Stop the node; what it was told to keep is kept."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(WAIT_S)
            self.process = None

    def ask(self, method: str, *parameters: Any) -> Any:
        return RpcClient(self.url).ask(method, *parameters)

    def fund(self, account: bytes, amount: int) -> None:
        self.ask("anvil_setBalance", "0x" + account.hex(), hex(amount))

    def _listening(self) -> bool:
        """Learn the port that the system chose, from what the node says."""
        for line in (self.folder / "anvil.log").read_text().splitlines():
            if line.startswith("Listening on "):
                self.port = int(line.rpartition(":")[2])
        return self.port != 0

    def _answers(self) -> bool:
        try:
            return bool(self.ask("eth_chainId"))
        except LedgerError:
            return False

    def _check(self, deadline: float) -> None:
        assert self.process is not None
        log = (self.folder / "anvil.log").read_text()
        assert self.process.poll() is None, log
        assert time.monotonic() < deadline, log
        time.sleep(0.01)


@pytest.fixture
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Anvil]]:
    """Start nodes of Foundry's: `anvil("--chain-id=7")`."""
    started: list[Anvil] = []

    def start(*options: str) -> Anvil:
        made = Anvil(options, tmp_path_factory.mktemp("anvil"))
        started.append(made)
        made.start()
        return made

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def cast() -> Callable[..., Any]:
    """Run `cast`, Foundry's client, and return what it prints: JSON where it is any."""

    def run(*arguments: str, fails: bool = False) -> Any:
        command = [str(program("cast")), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert (done.returncode != 0) is fails, f"{arguments}: {done.stderr or done.stdout}"
        said = (done.stderr if fails else done.stdout).strip()
        try:
            return json.loads(said)
        except ValueError:
            return said

    return run


@pytest.fixture(scope="session")
def documents() -> Callable[[str], list[dict[str, Any]]]:
    """Read what a verb printed with --json: every line is as the schema it names says."""
    from jsonschema import Draft202012Validator

    found = [json.loads(each.read_text()) for each in SCHEMAS.glob("*.json")]
    schemas = {each["$id"]: Draft202012Validator(each) for each in found}

    def read(printed: str) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
        for each in made:
            schemas[each["schema"]].validate(each)
        return made

    return read
