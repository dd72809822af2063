"""A state that comes back cannot have the next fit write or clean up elsewhere."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from gensyn_lightning.errors import Malformed
from gensyn_lightning.training import landing
from gensyn_lightning.training.confined import ConfinedFolders
from gensyn_lightning.training.manifest import Folder

pytestmark = pytest.mark.filterwarnings("ignore")
SAVER = "callbacks/1/"


class Back:
    """A trainer with a visible progress bar before the callback that saves."""

    def __init__(self, kept: Path, root: Path) -> None:
        saver = ModelCheckpoint(dirpath=kept, filename="best")
        self.saver = saver
        self.trainer = pl.Trainer(
            accelerator="cpu",
            logger=False,
            enable_model_summary=False,
            default_root_dir=root,
            callbacks=[EarlyStopping("loss"), saver],
        )
        folders = (Folder("callback-1", "", "", True, ()),)
        self.confined = ConfinedFolders(folders, {"callback-1": root / "kept"})

    def check(self, path: str, value: Any) -> None:
        landing.check(self.trainer, {path: {"value": value}}, self.confined)


@pytest.fixture
def back(tmp_path: Path) -> Back:
    return Back(tmp_path / "kept", tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trainer/_default_root_dir", "{}/elsewhere"),
        (SAVER + "dirpath", "{}/elsewhere"),
        (SAVER + "dirpath", Path("/etc")),
        (SAVER + "last_model_path", "{}/kept/../train.py"),
        (SAVER + "last_model_path", "../train.py"),
        (SAVER + "best_k_models", {"/etc/passwd": 1.0}),
        (SAVER + "kth_best_model_path", "/etc/passwd"),
        (SAVER + "filename", "/etc/evil"),
        (SAVER + "filename", "other"),
        (SAVER + "FILE_EXTENSION", ".py"),
        (SAVER + "CHECKPOINT_NAME_LAST", "train"),
    ],
)
def test_nothing_moves_out(back: Back, tmp_path: Path, path: str, value: Any) -> None:
    value = value.format(tmp_path) if isinstance(value, str) else value
    with pytest.raises(Malformed):
        back.check(path, value)


def test_what_a_fit_does_to_them_may_be(back: Back, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    back.check("trainer/_default_root_dir", str(tmp_path))
    back.check(SAVER + "dirpath", str(kept))
    back.check(SAVER + "last_model_path", str(kept / "last.ckpt"))
    back.check(SAVER + "best_k_models", {str(kept / "best-v1.ckpt"): 0.5})
    back.check(SAVER + "filename", "best")
    back.saver.copies = ["/mnt/copies"]
    back.check(SAVER + "copies", ["/mnt/copies", str(kept)])
    back.check("callbacks/0/stopping_reason_message", "see /var/log, or ../notes")


def test_a_folder_that_is_not_written_to_may_stay_where_it_is(tmp_path: Path) -> None:
    back = Back(tmp_path, tmp_path)
    back.check(SAVER + "dirpath", str(tmp_path))
    back.check(SAVER + "last_model_path", str(tmp_path / "last.ckpt"))
