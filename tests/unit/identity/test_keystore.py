import json
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eth_account import Account as Reference

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.identity import Account, create_account, open_account, open_or_create
from gensyn_lightning.identity.keystore import decrypt, encrypt


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_account_comes_back_from_disk(tmp_path: Path) -> None:
    folder = tmp_path / "keys"

    made = create_account(folder, "solver-1")

    assert open_account(folder, "solver-1").address == made.address
    assert open_or_create(folder, "solver-1").address == made.address
    assert mode(folder) == 0o700
    assert {mode(each) for each in folder.iterdir()} == {0o600}
    assert made.secret().hex() not in "".join(each.read_text() for each in folder.iterdir())


def test_a_wallet_opens_our_keystore_and_we_open_its_own(tmp_path: Path) -> None:
    account = Account.generate()

    assert bytes(Reference.decrypt(encrypt(account, "öpen"), "öpen")) == account.secret()
    theirs = Reference.encrypt(account.secret(), "öpen", iterations=1024)
    assert decrypt(theirs, "öpen").address == account.address


def test_opening_takes_less_than_three_tenths_of_a_second(tmp_path: Path) -> None:
    create_account(tmp_path, "quick")
    started = time.process_time()

    open_account(tmp_path, "quick")

    assert time.process_time() - started < 0.3


def test_several_who_come_first_at_once_get_one_account(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: open_or_create(tmp_path, "one").address, range(8)))

    assert len(set(found)) == 1


def test_a_taken_name_is_not_overwritten(tmp_path: Path) -> None:
    create_account(tmp_path, "mine")

    with pytest.raises(ConfigError, match="exists"):
        create_account(tmp_path, "mine")


def test_a_password_without_a_keystore_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "half.password").write_text("left by a crash")

    made = open_or_create(tmp_path, "half")

    assert open_account(tmp_path, "half").address == made.address


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x" * 65, ".hidden"])
def test_a_name_that_leaves_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="account name"):
        open_or_create(tmp_path, name)


def test_the_wrong_password_does_not_open(tmp_path: Path) -> None:
    value = encrypt(Account.generate(), "right")

    with pytest.raises(ConfigError, match="does not open"):
        decrypt(value, "wrong")


@pytest.mark.parametrize(
    "change",
    [
        {"n": 1 << 30},
        {"n": 0},
        {"r": 1 << 20},
        {"p": -1},
        {"dklen": 64},
        {"salt": "zz"},
        {"n": "16384"},
        {"n": None},
        {"n": 12_345},
    ],
)
def test_a_damaged_or_greedy_keystore_is_refused(change: dict[str, object]) -> None:
    value = encrypt(Account.generate(), "right")
    value["crypto"]["kdfparams"] |= change

    with pytest.raises(ConfigError):
        decrypt(value, "right")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"version": 3}', "[" * 16_000, "x" * 20_000])
def test_a_file_that_is_no_keystore_is_refused(text: str, tmp_path: Path) -> None:
    create_account(tmp_path, "broken")
    (tmp_path / "broken.json").write_text(text)

    with pytest.raises(ConfigError):
        open_account(tmp_path, "broken")


def test_opening_loads_no_wallet(tmp_path: Path) -> None:
    create_account(tmp_path, "light")
    code = (
        "import sys; from pathlib import Path; from gensyn_lightning.identity import open_account\n"
        "open_account(Path(sys.argv[1]), 'light')\n"
        "print([each for each in sys.modules if each.startswith(('eth', 'web3'))])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout.replace("'", '"')) == []
