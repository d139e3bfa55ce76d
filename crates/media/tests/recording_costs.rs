//! What a recording costs, and what it leaves behind: alone in its process and without a harness, because it counts the allocations and the
//! descriptors of the process.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use media::events::Event;
use rig::recorder::{spec, stream, target, Recorder};
use rig::{rtp, Options, Rig};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System.alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    a_recorded_packet_allocates_nothing();
    a_thousand_recordings_leave_no_descriptor_and_no_port_behind();
}

fn a_recorded_packet_allocates_nothing() {
    let rig = Rig::new(96, Options::default());
    rig.lock();
    let recorder = Recorder::open(&rig.engine, rig.call, (96, 5), &spec("relay", 200));
    recorder.answer(&rig.engine, "PCMU/8000/0");
    let packets: Vec<_> = (1..=200)
        .map(|sequence| rtp(0, sequence, 1, &[sequence as u8; 160]))
        .collect();
    let (warm, measured) = packets.split_at(50);
    let mut buffer = [0; 2048];
    let mut talk = |packets: &[Vec<u8>]| {
        let start = Instant::now();
        for (index, packet) in packets.iter().enumerate() {
            let due = start + Duration::from_millis(20) * index as u32;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            rig.a.send(packet);
            assert_eq!(rig.b.rtp.recv(&mut buffer).unwrap(), packet.len());
        }
    };
    talk(warm);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    talk(measured);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn count_closed(events: &[Event]) -> usize {
    let is_closed = |event: &&Event| matches!(event, Event::RecordingClosed { .. });
    events.iter().filter(is_closed).count()
}

fn a_thousand_recordings_leave_no_descriptor_and_no_port_behind() {
    let options = Options {
        ports: (20_000, 29_999),
        ..Options::default()
    };
    let rig = Rig::new(97, options);
    let before = (descriptors(), rig.engine.totals().ports_in_use);
    let nobody = (rig::address(97, 9), 6000).into();
    let streams = [stream("1", Some(nobody), "PCMU/8000/0", true)];
    let mut closed = 0;
    for round in 0..1000 {
        let order = spec("relay", 1000);
        let (recording, _) = rig.engine.open_recording(rig.call, &order).unwrap();
        if round % 10 == 0 {
            let answer = target(&streams);
            rig.engine.set_recording(recording, &answer).unwrap();
            rig.a.send(&rtp(0, round, 1, &[1; 160]));
        }
        rig.engine.close_recording(recording).unwrap();
        closed += count_closed(&rig.engine.events());
    }
    while closed < 1000 {
        rig::wait_for_events(&rig.engine, rig::PATIENCE);
        let events = rig.engine.events();
        assert!(!events.is_empty(), "only {closed} recordings were closed");
        closed += count_closed(&events);
    }
    let totals = rig.engine.totals();
    assert_eq!((descriptors(), totals.ports_in_use), before);
    assert_eq!((totals.recordings, totals.events_dropped), (0, 0));
}
