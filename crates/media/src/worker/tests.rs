use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::events::Event;
use crate::fork::{Recording, RecordingIds};
use crate::ports::PortPool;
use crate::random::Random;
use crate::stream::{MediaStream, StreamIds};

/// A worker that is turned by hand, with calls on loopback.
struct Bench {
    worker: Worker,
    ports: Arc<PortPool>,
}

impl Bench {
    fn new() -> Self {
        let clock = Clock::start();
        let shared = Arc::new(Shared {
            clock,
            learning: SECOND,
            idle_limit: 0,
            events: EventQueue::new().unwrap(),
            calls: Registry::default(),
            streams: Registry::default(),
            recordings: Registry::default(),
        });
        let desk = Arc::new(Desk {
            mailbox: Mailbox::new().unwrap(),
            tally: SharedTally::default(),
        });
        let address = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 1));
        Self {
            worker: Worker::new(shared, desk).unwrap(),
            ports: Arc::new(PortPool::new(address, 20_000, 29_999, clock)),
        }
    }

    fn open(&mut self, call: u64) {
        let sockets = Box::new([self.ports.bind().unwrap(), self.ports.bind().unwrap()]);
        self.worker.shared.calls.add(call, 10).unwrap();
        self.order(Order::OpenCall { call, sockets });
    }

    fn listen(&mut self, call: u64, stream: u64) {
        let clock = self.worker.shared.clock;
        let json = format!(
            r#"{{"streamId":"{stream}","encoding":"PCMU","sampleRate":8000,"frameMs":20,"layout":"separate",
            "channels":[{{"channel":0,"side":"a","participant":"caller"}}],
            "startedAtUnixMs":1700000000000,"startNs":{}}}"#,
            clock.now()
        );
        let spec = crate::orders::read(json.as_bytes()).unwrap();
        let ids = StreamIds { call, stream };
        let media = MediaStream::open(ids, spec, clock.now()).unwrap();
        self.worker.shared.streams.add(stream, 10).unwrap();
        self.order(Order::OpenStream {
            call,
            stream,
            media: Box::new(media),
        });
    }

    fn record(&mut self, call: u64, recording: u64) {
        let clock = self.worker.shared.clock;
        let json = r#"{"recordingId":"r","dtmf":"relay",
            "streams":[{"label":"1","side":"a","cname":"x"}]}"#;
        let spec = crate::orders::read(json.as_bytes()).unwrap();
        let ids = RecordingIds { call, recording };
        let sockets = vec![self.ports.bind().unwrap()];
        let opened = Recording::open(ids, spec, sockets, clock.now(), &mut Random::new());
        self.worker.shared.recordings.add(recording, 10).unwrap();
        self.order(Order::OpenRecording {
            recording: Box::new(opened),
        });
    }

    fn order(&mut self, order: Order) {
        self.worker.desk.mailbox.post(order).unwrap();
        self.worker.take_orders();
        self.worker.tell();
    }

    fn events(&self) -> Events {
        self.worker.shared.events.take()
    }
}

#[test]
fn a_panic_ends_its_call_and_no_other() {
    let mut bench = Bench::new();
    bench.open(1);
    bench.open(2);
    bench.order(Order::Break { call: 1 });
    let events = bench.events();
    assert!(
        matches!(&events[..], [
            Event::CallFailed { call: 1, detail },
            Event::CallClosed { call: 1, sides, .. },
        ] if detail == "broken on purpose" && sides.len() == 2),
        "{events:?}"
    );
    assert_eq!(bench.ports.in_use(), 4);
    bench.order(Order::QueryCall { call: 2 });
    assert!(matches!(
        bench.events()[..],
        [Event::CallStats { call: 2, .. }]
    ));
    assert!(bench.worker.shared.calls.check(1).is_err());
}

#[test]
fn a_panic_in_a_stream_ends_that_stream_and_neither_its_call_nor_its_sister() {
    let mut bench = Bench::new();
    bench.open(1);
    bench.listen(1, 11);
    bench.listen(1, 12);
    bench.order(Order::BreakStream { stream: 11 });
    let events = bench.events();
    assert!(
        matches!(
            events[..],
            [Event::StreamClosed {
                stream: 11,
                close_sent: false,
                ..
            }]
        ),
        "{events:?}"
    );
    assert!(bench.worker.shared.streams.check(11).is_err());
    bench.order(Order::Break { call: 1 });
    let events = bench.events();
    assert!(
        matches!(
            events[..],
            [
                Event::CallFailed { call: 1, .. },
                Event::StreamClosed { stream: 12, .. },
                Event::CallClosed { call: 1, .. },
            ]
        ),
        "{events:?}"
    );
    assert!(bench.worker.streams.is_empty() && bench.worker.calls.is_empty());
}

#[test]
fn a_panic_in_a_recording_ends_that_recording_and_neither_its_call_nor_its_copy() {
    let mut bench = Bench::new();
    bench.open(1);
    bench.record(1, 11);
    bench.record(1, 12);
    assert_eq!(bench.ports.in_use(), 8);
    bench.order(Order::BreakRecording { recording: 11 });
    let events = bench.events();
    assert!(
        matches!(&events[..], [Event::RecordingClosed {
            recording: 11,
            streams,
            failure: Some(detail),
        }] if detail == "broken on purpose" && streams.is_empty()),
        "{events:?}"
    );
    assert_eq!(bench.ports.in_use(), 6);
    assert!(bench.worker.shared.recordings.check(11).is_err());
    bench.order(Order::CloseCall { call: 1 });
    let events = bench.events();
    assert!(
        matches!(&events[..], [
            Event::RecordingClosed { recording: 12, streams, failure: None },
            Event::CallClosed { call: 1, .. },
        ] if streams.len() == 1),
        "{events:?}"
    );
    assert!(bench.worker.recordings.is_empty());
    assert_eq!(bench.ports.in_use(), 0);
}

#[test]
fn a_recording_of_a_call_that_has_ended_ends_at_once() {
    let mut bench = Bench::new();
    bench.record(1, 11);
    assert!(matches!(
        bench.events()[..],
        [Event::RecordingClosed { recording: 11, .. }]
    ));
    assert_eq!(bench.ports.in_use(), 0);
}

#[test]
fn a_stream_of_a_call_that_has_ended_ends_at_once() {
    let mut bench = Bench::new();
    bench.listen(1, 11);
    let events = bench.events();
    assert!(matches!(
        events[..],
        [Event::StreamClosed { stream: 11, .. }]
    ));
    assert!(bench.worker.streams.is_empty());
}

#[test]
fn an_order_for_what_has_ended_comes_to_nothing() {
    let mut bench = Bench::new();
    bench.open(1);
    bench.order(Order::CloseCall { call: 1 });
    assert!(matches!(
        bench.events()[..],
        [Event::CallClosed { call: 1, .. }]
    ));
    bench.order(Order::QueryCall { call: 1 });
    bench.order(Order::AbortStream { stream: 5 });
    assert!(bench.events().is_empty());
    assert_eq!(bench.ports.in_use(), 0);
}

#[test]
fn a_socket_event_of_a_call_that_is_gone_touches_no_successor() {
    let mut bench = Bench::new();
    bench.open(1);
    let stale = Token::new(Kind::RtpA, 0, bench.worker.generation.0);
    bench.order(Order::CloseCall { call: 1 });
    bench.open(2);
    bench.worker.dispatch(stale, epoll::EventFlags::IN);
    assert!(matches!(bench.worker.blame, Blame::Nobody));
}

#[test]
fn a_worker_that_was_kept_from_running_takes_packets_before_alarms() {
    let mut worker = Bench::new().worker;
    let (mut alarm, token) = (timers::Alarm::default(), Token::new(Kind::Call, 0, 0));
    worker.timers.ask(token, SECOND, &mut alarm);
    worker.turn.now = SECOND + LATE;
    assert!(!worker.catches_up(5), "in time");
    worker.turn.now = SECOND + LATE + 1;
    assert!(!worker.catches_up(0), "nothing waits");
    let looks = (0..100).take_while(|_| worker.catches_up(5)).count();
    assert_eq!(looks, LOOKS_MAX as usize);
    assert!(worker.catches_up(5), "the next time that it is late");
}
