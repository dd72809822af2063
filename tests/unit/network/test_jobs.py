"""Jobs are found again by what people were shown."""

from pathlib import Path

import pytest

from gensyn_lightning.errors import ConfigError, NotFound
from gensyn_lightning.network.home import Home
from gensyn_lightning.network.jobs import find, remember, submitted
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.protocol.job import JobId, display_id

JOB, OTHER = JobId(digest_of(b"a")), JobId(digest_of(b"b"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path).make()
    remember(made, JOB)
    remember(made, JOB)
    remember(made, OTHER)
    return made


def test_a_job_is_found_by_its_name_its_start_and_its_digest(home: Home) -> None:
    assert find(home, display_id(JOB)) == JOB
    assert find(home, JOB.hex()[:6]) == JOB
    assert find(home, OTHER.hex()) == OTHER
    assert find(home, digest_of(b"elsewhere").hex()) == digest_of(b"elsewhere")


def test_what_is_no_job_of_this_home_is_not_found(home: Home) -> None:
    with pytest.raises(NotFound):
        find(home, "job-0000000000000000")
    for name in ("", "job-", "job-xyz1", "../../etc"):
        with pytest.raises(ConfigError):
            find(home, name)


def test_each_job_is_listed_once(home: Home, tmp_path: Path) -> None:
    assert {each.job for each in submitted(home)} == {JOB, OTHER}
    assert submitted(Home(tmp_path / "nothing")) == []
