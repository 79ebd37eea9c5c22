import pytest
import trio

from bench.scenario import Stage
from bench.serving import ServerNotStarted, serving


@pytest.mark.slow
async def test_a_server_that_does_not_start_is_told_with_its_last_words(stage: Stage) -> None:
    with pytest.raises(ServerNotStarted, match="LIVEAVATAR_NO_SUCH_THING"):
        async with serving({"LIVEAVATAR_NO_SUCH_THING": "1"}, folder=stage.folder, cores=None):
            pass


@pytest.mark.slow
async def test_nothing_is_left_of_a_server_after_its_block(stage: Stage) -> None:
    async with serving({}, folder=stage.folder, cores=None) as server:
        assert server.cpu_s()
        assert server.resident_kib()
    assert server.resident_kib() is None
    with pytest.raises(OSError, match=r"refused|failed"):
        await trio.open_tcp_stream(server.host, server.port)
