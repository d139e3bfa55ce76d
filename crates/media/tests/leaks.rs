//! What is left behind: alone in its process, because it counts the descriptors of the process.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod rig;

use media::events::Event;
use rig::{leg, rtp, Options, Phone, PCMU};

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_thousand_calls_leave_no_descriptor_and_no_port_behind() {
    let options = Options {
        ports: (20_000, 29_999),
        ..Options::default()
    };
    let before_engine = descriptors();
    let engine = rig::engine(40, options);
    let before = descriptors();
    let mut closed = 0;
    for round in 0..1000 {
        let (call, port_a, _) = engine.open_call().unwrap();
        if round % 100 == 0 {
            let phone = Phone::new(40, 2, 4000, port_a);
            let remote = phone.rtp.local_addr().unwrap();
            engine
                .set_leg(call, &leg("a", Some(remote), PCMU, false))
                .unwrap();
            engine.bridge(call, true).unwrap();
            phone.send(&rtp(0, 1, 1, b"x"));
        }
        engine.close_call(call).unwrap();
        closed += count_closed(&engine.events());
    }
    while closed < 1000 {
        rig::wait_for_events(&engine, rig::PATIENCE);
        let events = engine.events();
        assert!(!events.is_empty(), "only {closed} calls were closed");
        closed += count_closed(&events);
    }
    let totals = engine.totals();
    assert_eq!(
        (totals.calls, totals.ports_in_use, totals.events_dropped),
        (0, 0, 0)
    );
    assert_eq!(descriptors(), before);
    drop(engine);
    assert_eq!(descriptors(), before_engine);
}

fn count_closed(events: &[Event]) -> usize {
    let is_closed = |event: &&Event| matches!(event, Event::CallClosed { .. });
    events.iter().filter(is_closed).count()
}
