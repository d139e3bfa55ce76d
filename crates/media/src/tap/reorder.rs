//! Packets that wait for an earlier one, or for their time.
use std::borrow::Cow;
use std::collections::VecDeque;

use super::packet::{Content, Packet};
use crate::clock::Nanos;

/// Payload buffers kept to be used again.
const MAX_SPARE: usize = 16;

/// A packet that waits.
#[derive(Debug)]
pub struct Held {
    /// The packet, which owns its payload.
    pub packet: Packet<'static>,
    /// When it came.
    pub arrival: Nanos,
}

/// Waiting packets by their extended sequence numbers. Buffers are used again, so that a channel in disorder
/// costs the allocator nothing once it has been so for a while.
#[derive(Debug, Default)]
pub struct Reorder {
    queue: VecDeque<(i64, Held)>,
    spare: Vec<Vec<u8>>,
}

impl Reorder {
    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The packet with the lowest number.
    pub fn first(&self) -> Option<(i64, &Held)> {
        self.queue.front().map(|(number, held)| (*number, held))
    }

    /// Takes the packet with the lowest number out.
    pub fn pop_first(&mut self) -> Option<Held> {
        self.queue.pop_front().map(|(_, held)| held)
    }

    /// Puts a copy of a packet in its place.
    pub fn insert(&mut self, number: i64, packet: &Packet<'_>, arrival: Nanos) {
        let held = self.hold(packet, arrival);
        let place = self.queue.partition_point(|(other, _)| *other < number);
        self.queue.insert(place, (number, held));
    }

    /// Copies a packet into a buffer of its own.
    pub fn hold(&mut self, packet: &Packet<'_>, arrival: Nanos) -> Held {
        let content = match &packet.content {
            Content::Audio { format, payload } => {
                let mut buffer = self.spare.pop().unwrap_or_default();
                buffer.clear();
                buffer.extend_from_slice(payload);
                Content::Audio {
                    format: *format,
                    payload: Cow::Owned(buffer),
                }
            }
            Content::Event { duration, end } => Content::Event {
                duration: *duration,
                end: *end,
            },
            Content::Nothing => Content::Nothing,
        };
        let packet = Packet {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            clock_rate: packet.clock_rate,
            content,
        };
        Held { packet, arrival }
    }

    /// Takes the buffer of a packet back that has had its turn.
    pub fn recycle(&mut self, held: Held) {
        if let Content::Audio {
            payload: Cow::Owned(buffer),
            ..
        } = held.packet.content
        {
            if self.spare.len() < MAX_SPARE {
                self.spare.push(buffer);
            }
        }
    }
}
