"""A home keeps to one chain, and says in a line what stands in the way of using it."""

import json
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.errors import ConfigError, InsufficientBalance, LedgerError
from gensyn_lightning.identity import open_account
from gensyn_lightning.network import attached, keys
from gensyn_lightning.network.attached import attach
from gensyn_lightning.network.home import Home

ETHER = 10**18


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "h").make()


def silent(text: str) -> None:
    """Say nothing."""


def fund(home: Home, node: Any) -> None:
    for name in (keys.OPERATOR, keys.SUBMITTER):
        node.fund(open_account(home.keys, name).address, ETHER)


def attached_to(home: Home, node: Any) -> dict[str, Any]:
    """Attach a home whose accounts hold something, and return what was recorded."""
    keys.prepare(home, {})
    fund(home, node)
    assert attach(home, node.url, silent) == node.url
    record: dict[str, Any] = json.loads((home.data("chain") / "chain.json").read_text())
    return record


def test_a_home_starts_a_chain_of_its_own_unless_told(home: Home) -> None:
    assert attach(home, "", silent) == ""
    (home.data("chain") / "chain.json").write_text('{"url": "http://127.0.0.1:1", "chain_id": 1}')
    assert attach(home, "", silent) == ""


def test_accounts_without_money_are_named_until_they_have_some(home: Home, anvil: Any) -> None:
    node = anvil("--chain-id=77")
    with pytest.raises(InsufficientBalance) as caught:
        attach(home, node.url, silent)
    names = {name: open_account(home.keys, name) for name in (keys.OPERATOR, keys.SUBMITTER)}
    for name, account in names.items():
        assert f"{name} 0x{account.address.hex()}" in str(caught.value)
    assert "chain 77" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    node.fund(names[keys.OPERATOR].address, ETHER)
    with pytest.raises(InsufficientBalance, match=r"by submitter 0x") as caught:
        attach(home, node.url, silent)
    assert keys.OPERATOR not in str(caught.value)
    assert not (home.data("chain") / "chain.json").exists()


def test_contracts_are_put_on_a_chain_once(home: Home, anvil: Any) -> None:
    node = anvil()
    record = attached_to(home, node)
    height = node.ask("eth_blockNumber")
    other = node.url.replace("127.0.0.1", "localhost")
    assert attach(home, other, silent) == other
    assert attach(home, "", silent) == other
    again = json.loads((home.data("chain") / "chain.json").read_text())
    assert again == record | {"url": other}
    assert node.ask("eth_blockNumber") == height


def test_a_home_refuses_another_chain_than_its_own(home: Home, anvil: Any) -> None:
    record = attached_to(home, anvil("--timestamp=1800000000"))
    for other, words in (
        (anvil("--chain-id=77"), "this is chain 77; the home belongs to chain 31337"),
        (anvil("--timestamp=1900000000"), "its first block differs"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            attach(home, other.url, silent)
        assert "--home" in caught.value.hint
    assert json.loads((home.data("chain") / "chain.json").read_text()) == record


def test_a_home_with_a_chain_of_its_own_takes_no_other(home: Home, anvil: Any) -> None:
    home.data("chain").mkdir()
    (home.data("chain") / "chain.db").touch()
    assert attach(home, "", silent) == ""
    with pytest.raises(ConfigError, match="a chain of its own"):
        attach(home, anvil().url, silent)


def test_a_chain_that_is_gone_says_so(
    home: Home, anvil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = anvil()
    attached_to(home, node)
    node.stop()
    monkeypatch.setattr(attached, "PATIENCE_S", 0.0)
    with pytest.raises(LedgerError, match="does not answer"):
        attach(home, "", silent)


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:8545", "http://[", "http://x:99999"])
def test_only_addresses_of_chains_are_taken(home: Home, url: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        attach(home, url, silent)


@pytest.mark.parametrize("text", ["", "[]", '{"genesis": 1}', '{"genesis": "0x00", "url": 1}'])
def test_a_damaged_record_is_no_chain(home: Home, text: str) -> None:
    home.data("chain").mkdir()
    (home.data("chain") / "chain.json").write_text(text)
    with pytest.raises(ConfigError, match="damaged"):
        attach(home, "", silent)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://rpc.example/v2/key", "https://rpc.example:443/v2/key"),
        ("http://[::1]/", "http://[::1]:80/"),
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
    ],
)
def test_an_address_names_its_port(url: str, found: str) -> None:
    assert attached._with_port(url) == found
