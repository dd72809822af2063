import pytest

from gensyn_lightning.wire import codec, jobs, nodes, transfer

SERVICES = {each.name: each for file in codec.FILES for each in file.services_by_name.values()}
TABLES = [jobs, nodes, transfer]


@pytest.mark.parametrize("table", TABLES, ids=lambda each: each.SERVICE)
def test_the_table_of_calls_is_the_published_one(table) -> None:
    published = [
        (
            f"/{each.containing_service.full_name}/{each.name}",
            each.input_type.name,
            each.output_type.name,
            each.client_streaming,
            each.server_streaming,
        )
        for each in SERVICES[table.SERVICE].methods
    ]
    ours = [
        (
            each.path,
            each.request.__name__,
            each.response.__name__,
            each.request_streams,
            each.response_streams,
        )
        for each in table.RPCS
    ]

    assert ours == published


def test_every_published_service_has_a_table() -> None:
    assert set(SERVICES) == {each.SERVICE for each in TABLES}


def test_a_call_is_answered_by_a_method_of_its_name() -> None:
    assert nodes.OPEN_SALT.handler == "open_salt"
    assert jobs.SUBMIT.handler == "submit"


def test_every_call_has_a_bounded_deadline() -> None:
    assert all(0 < each.deadline_s <= 600 for table in TABLES for each in table.RPCS)
