import pytest

from sidestream.sip.timers import TimerProfile


def test_the_values_of_rfc_3261_table_4_and_rfc_6026() -> None:
    profile = TimerProfile()
    assert (profile.t1, profile.t2, profile.t4) == (0.5, 4.0, 5.0)
    assert profile.timer_a == profile.timer_e == profile.timer_g == 0.5
    assert profile.timer_b == profile.timer_f == profile.timer_h == profile.timer_l == profile.timer_m == 32.0
    assert (profile.timer_d(reliable=False), profile.timer_d(reliable=True)) == (32.0, 0.0)
    assert (profile.timer_i(reliable=False), profile.timer_i(reliable=True)) == (5.0, 0.0)
    assert (profile.timer_j(reliable=False), profile.timer_j(reliable=True)) == (32.0, 0.0)
    assert (profile.timer_k(reliable=False), profile.timer_k(reliable=True)) == (5.0, 0.0)


@pytest.mark.parametrize(("t1", "t2", "age"), [(0.5, 4.0, 3.5), (1.0, 4.0, 3.0), (4.0, 4.0, 0.0)])
def test_rfc4320_the_late_100_comes_when_timer_e_reaches_t2(t1: float, t2: float, age: float) -> None:
    assert TimerProfile(t1=t1, t2=t2).late_trying == age
