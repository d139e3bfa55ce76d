import threading

from sidestream.gateway.writer_thread import WriterThread


class Writer(WriterThread[int]):
    def __init__(self, *, stuck: bool = False) -> None:
        super().__init__("test")
        self.written: list[int] = []
        self.go = threading.Event()
        if not stuck:
            self.go.set()

    def put(self, value: int) -> None:
        with self._changed:
            self._waiting.append(value)
            self._changed.notify()

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        self.go.wait(10)
        with self._changed:
            while self._waiting or not self._closing:
                while self._waiting:
                    self.written.append(self._waiting.popleft())
                if not self._closing:
                    self._changed.wait()


def test_what_waits_is_written_before_the_thread_ends() -> None:
    writer = Writer()
    writer.put(1)
    writer.start()
    writer.put(2)
    assert writer.close()
    assert (writer.written, writer.waiting) == ([1, 2], 0)


def test_a_disk_that_hangs_is_not_waited_for_for_ever() -> None:
    writer = Writer(stuck=True)
    writer.put(1)
    writer.start()
    assert not writer.close(timeout=0.01)
    assert writer.waiting == 1
    writer.go.set()
    assert writer.close()


def test_one_that_was_never_opened_closes_at_once() -> None:
    writer = Writer()
    assert writer.close()
    writer.put(1)
    assert not writer.close()
