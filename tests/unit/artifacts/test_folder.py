import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gensyn_lightning.artifacts import FolderArtifacts, Quota
from gensyn_lightning.errors import ArtifactError, LimitExceeded
from gensyn_lightning.protocol.digest import digest_of

DATA = os.urandom(100_000)
NAME = digest_of(DATA)


def test_artifacts_outlive_the_process(tmp_path: Path) -> None:
    FolderArtifacts(tmp_path).put(DATA)

    assert FolderArtifacts(tmp_path).read(NAME) == DATA


def test_what_stands_counts_after_a_restart(tmp_path: Path) -> None:
    FolderArtifacts(tmp_path).put(DATA)

    with pytest.raises(LimitExceeded, match="the store"):
        FolderArtifacts(tmp_path, Quota(store_bytes=len(DATA))).put(b"x")


def test_a_runner_gets_the_artifact_without_a_copy(tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path / "store")
    store.put(DATA)

    store.materialise(NAME, tmp_path / "linked")

    assert (tmp_path / "linked").samefile(store.path(NAME))


def test_only_its_user_can_look_into_a_store(tmp_path: Path) -> None:
    FolderArtifacts(tmp_path / "store")

    assert {each.stat().st_mode & 0o777 for each in tmp_path.rglob("*")} == {0o700}


def test_what_a_killed_process_staged_goes_on(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from gensyn_lightning.artifacts import FolderArtifacts\n"
        "data = Path(sys.argv[2]).read_bytes()\n"
        "stage = FolderArtifacts(Path(sys.argv[1])).stage(bytes.fromhex(sys.argv[3]), len(data))\n"
        "stage.append(data[:60_000]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    (tmp_path / "data").write_bytes(DATA)
    arguments = [str(tmp_path / "store"), str(tmp_path / "data"), NAME.hex()]
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL

    stage = FolderArtifacts(tmp_path / "store").stage(NAME, len(DATA))

    assert stage.offset == 60_000
    stage.append(DATA[60_000:])
    stage.finish()
    assert FolderArtifacts(tmp_path / "store").read(NAME) == DATA


def test_a_stage_spoiled_on_disk_is_noticed(tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path)
    stage = store.stage(NAME, len(DATA))
    stage.append(DATA[:1000])
    (file,) = (each for each in (tmp_path / "stages").rglob("*") if each.is_file())
    file.write_bytes(bytes(1000))

    stage = store.stage(NAME, len(DATA))
    stage.append(DATA[1000:])

    with pytest.raises(ArtifactError, match="are others"):
        stage.finish()


def test_nothing_temporary_stays(tmp_path: Path) -> None:
    store = FolderArtifacts(tmp_path / "store")
    (tmp_path / "file").write_bytes(DATA)
    for _ in range(2):
        store.put(DATA)
        store.put_file(tmp_path / "file")

    assert not [each for each in (tmp_path / "store/stages").rglob("*") if each.is_file()]
    assert [each.name for each in store.objects.iterdir()] == [NAME.hex()]
