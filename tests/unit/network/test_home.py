"""The record of a running network survives bad luck and says so when it does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network.home import Home, NetworkInfo, read_info, write_info

INFO = NetworkInfo(
    home="/h",
    coordinator="127.0.0.1:1",
    chain="http://127.0.0.1:2",
    zygote="/h/zygote",
    trust="/h/trust.json",
    keys="/h/keys",
    submitter="submitter",
    supervisor=7,
    started_ms=8,
    version="0",
    domain={"chain_id": 1, "escrow": "00"},
    processes={"chain": 9},
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    home = Home(tmp_path).make()
    assert read_info(home) is None
    write_info(home, INFO)
    write_info(home, replace(INFO, supervisor=70))
    assert read_info(home) == replace(INFO, supervisor=70)
    assert home.info.stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other"}', "\xff"])
def test_a_damaged_record_is_an_error_with_a_hint(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.info.write_text(text)
    with pytest.raises(ConfigError, match="delete it"):
        read_info(home)
