//! The path of a frame allocates nothing in the steady state: memory that is not asked for can't run short, and the
//! allocator's locks and caches are left to those who need them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod endpoint;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use endpoint::{read_all, Authority, Endpoint, Flaw, Rig};
use media::clock::SECOND;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting the requests of each thread.
struct Counting;

// SAFETY: all is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations in a thousand flushes of two frames each, the rig's own payloads left out.
fn allocations(authority: Option<&Authority>) -> u64 {
    let endpoint = Endpoint::new(authority.map(|authority| authority.server(&Flaw::default())));
    let server = endpoint.serve(read_all);
    let mut rig = Rig::new(|spec| (spec.replay_ms, spec.ping_ms) = (200, 1_000_000));
    rig.connect(endpoint.attempt(authority));
    let play = |rig: &mut Rig, frames: u64| {
        for _ in 0..frames {
            rig.play(1);
            // Time goes on faster than the endpoint reads.
            rig.serve_until("the network", |rig| !rig.stream.wants_write());
        }
    };
    play(&mut rig, 200);
    let before = COUNT.get();
    play(&mut rig, 1000);
    let played = COUNT.get() - before;
    assert!(rig.now > 20 * SECOND, "time has gone on");
    rig.turn(Duration::from_millis(1));
    rig.close();
    server.join().unwrap();
    // One payload for each side of each frame.
    played - 2000
}

#[test]
fn a_frame_costs_no_allocation() {
    assert_eq!(allocations(None), 0);
}

#[test]
fn with_tls_a_flush_costs_its_record_only() {
    let authority = Authority::new("test");
    let count = allocations(Some(&authority));
    assert!(count <= 2_100, "{count} for 1000 records");
}
