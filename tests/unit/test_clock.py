import time

from mpc_infer.clock import ManualClock, SystemClock


def test_the_system_clock_counts_milliseconds_since_1970():
    before, now, after = time.time() * 1000, SystemClock().now_ms(), time.time() * 1000
    assert before - 1 <= now <= after + 1
    assert isinstance(now, int)


def test_a_manual_clock_moves_when_told():
    clock = ManualClock(1000)
    assert clock.now_ms() == 1000
    clock.advance(250)
    assert clock.now_ms() == 1250
