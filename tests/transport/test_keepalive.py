from server.transport.keepalive import LAST_LOOK_S, Due, Keepalive


def test_a_ping_is_due_every_interval() -> None:
    keepalive = Keepalive(0.0, 20.0, 20.0)
    assert keepalive.look(19.9, listening=True) is Due.NOTHING
    assert keepalive.look(20.0, listening=True) is Due.PING
    keepalive.heard()
    assert keepalive.look(40.0, listening=True) is Due.PING


def test_a_peer_that_says_nothing_is_dead_after_its_time_and_one_last_look() -> None:
    keepalive = Keepalive(0.0, 20.0, 15.0)
    keepalive.look(20.0, listening=True)
    assert keepalive.next_at == 35.0
    assert keepalive.look(35.0, listening=True) is Due.NOTHING
    assert keepalive.next_at == 35.0 + LAST_LOOK_S
    assert keepalive.look(36.0, listening=True) is Due.DEAD


def test_anything_heard_counts_as_life() -> None:
    keepalive = Keepalive(0.0, 20.0, 15.0)
    keepalive.look(20.0, listening=True)
    keepalive.heard()
    assert keepalive.look(35.0, listening=True) is Due.NOTHING
    assert keepalive.look(36.0, listening=True) is Due.NOTHING


def test_nobody_is_dead_while_this_side_does_not_listen() -> None:
    keepalive = Keepalive(0.0, 20.0, 15.0)
    keepalive.look(20.0, listening=False)
    for second in range(35, 39):
        assert keepalive.look(float(second), listening=False) is Due.NOTHING
    assert keepalive.look(39.0, listening=True) is Due.NOTHING
    assert keepalive.look(41.0, listening=True) is not Due.DEAD or keepalive.look(42.0, listening=True) is Due.DEAD
