import pytest

from server.cluster.base import Rate
from server.cluster.in_process import InProcessLimits
from server.edge.limits import AddressBounds, AddressLimits, address_key
from server.security.refusals import RateLimited, Refusals
from tests.clocks import Clock

BOUNDS = AddressBounds(connections=3, arrivals=Rate(10, 20), sessions=Rate(1, 5))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    return Refusals(clock=clock)


@pytest.fixture
def limits(clock: Clock, refusals: Refusals) -> AddressLimits:
    return AddressLimits(InProcessLimits(clock=clock), BOUNDS, refusals)


async def test_an_address_has_so_many_connections_at_once(limits: AddressLimits, refusals: Refusals) -> None:
    places = [await limits.enter("1.2.3.4") for _ in range(3)]
    with pytest.raises(RateLimited) as caught:
        await limits.enter("1.2.3.4")
    assert caught.value.code == "address_connection_limit"
    await limits.enter("1.2.3.5")
    places[0].release()
    await limits.enter("1.2.3.4")
    assert refusals.counts == {"address_connection_limit": 1}


async def test_an_address_begins_so_many_in_so_much_time(limits: AddressLimits, clock: Clock) -> None:
    for _ in range(20):
        (await limits.enter("1.2.3.4")).release()
    with pytest.raises(RateLimited) as caught:
        await limits.enter("1.2.3.4")
    assert caught.value.code == "address_rate_limit"
    assert caught.value.retry_after_s == 1
    (await limits.enter("1.2.3.5")).release()
    clock.now += 0.1
    (await limits.enter("1.2.3.4")).release()


async def test_who_resumes_draws_on_the_larger_rate_alone(limits: AddressLimits) -> None:
    for _ in range(5):
        await limits.begin_session("1.2.3.4")
    with pytest.raises(RateLimited) as caught:
        await limits.begin_session("1.2.3.4")
    assert caught.value.code == "session_rate_limit"
    for _ in range(15):
        (await limits.enter("1.2.3.4")).release()


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("local", "local"),
    ],
)
def test_a_network_of_ipv6_counts_as_one(address: str, key: str) -> None:
    assert address_key(address) == key


async def test_a_whole_ipv6_network_has_no_more_than_one_address(limits: AddressLimits) -> None:
    for number in range(3):
        await limits.enter(f"2001:db8::{number:x}")
    with pytest.raises(RateLimited):
        await limits.enter("2001:db8::ffff")
