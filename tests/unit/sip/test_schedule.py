from sidestream.sip.schedule import Schedule


def test_items_fall_due_by_time_and_then_in_the_order_added() -> None:
    schedule: Schedule[str] = Schedule()
    for when, item in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        schedule.add(when, item)
    assert schedule.next_due() == 1.0
    assert schedule.pop_due(0.9) is None
    assert [schedule.pop_due(2.0) for _ in range(4)] == ["a", "b", "c", None]
    assert schedule.next_due() is None


def test_a_cancelled_item_never_falls_due() -> None:
    schedule: Schedule[str] = Schedule()
    ticket = schedule.add(1.0, "a")
    schedule.add(2.0, "b")
    schedule.cancel(ticket)
    schedule.cancel(ticket)
    assert len(schedule) == 1
    assert schedule.next_due() == 2.0
    assert schedule.pop_due(5.0) == "b"
    schedule.cancel(ticket)


def test_what_is_cancelled_is_not_kept() -> None:
    schedule: Schedule[int] = Schedule()
    for number in range(10_000):
        schedule.cancel(schedule.add(1e9, number))
    assert len(schedule._heap) <= 200
