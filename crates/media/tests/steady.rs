//! What a call costs once it runs: alone in its process and without a harness, because it counts the allocations of the process.
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use media::srtp::Suite;
use rig::srtp::{sealed, Keys};
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
    relaying_allocates_nothing();
}

fn relaying_allocates_nothing() {
    let rig = Rig::new(60, Options::default());
    rig.lock();
    let mut packets: Vec<_> = (1..=300)
        .map(|sequence| rtp(0, sequence, 1, &[7; 160]))
        .collect();
    let measured = packets.split_off(100);
    let mut buffer = [0; 2048];
    let mut relay = |packets: &[Vec<u8>]| {
        for packet in packets {
            rig.a.send(packet);
            assert_eq!(rig.b.rtp.recv(&mut buffer).unwrap(), packet.len());
        }
    };
    relay(&packets);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    relay(&measured);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    for suite in Suite::ALL {
        let keys = Keys::of(suite);
        rig.set(&keys.leg(&rig, "a"));
        rig.set(&keys.leg(&rig, "b"));
        let mut protector = keys.protector("a");
        let mut packets: Vec<_> = (301..=600)
            .map(|sequence| {
                sealed(
                    &mut protector,
                    &rtp(0, sequence, 10 + suite as u32, &[7; 160]),
                )
            })
            .collect();
        let measured = packets.split_off(100);
        relay(&packets);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        relay(&measured);
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{suite:?}");
    }
}
