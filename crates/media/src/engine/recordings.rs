//! The orders that concern recordings.
use super::Engine;
use crate::error::Result;
use crate::fork::{Recording, RecordingIds, RecordingSpec, RecordingTarget};
use crate::orders;
use crate::random::Random;
use crate::worker::mailbox::Order;

impl Engine {
    /// Begins to record a call. Returns the recording's handle and the RTP port of each of its streams.
    pub fn open_recording(&self, call: u64, spec: &[u8]) -> Result<(u64, Vec<u16>)> {
        self.check_running()?;
        self.shared.calls.check(call)?;
        let spec: RecordingSpec = orders::read(spec)?;
        spec.validate()?;
        let sockets = spec
            .streams
            .iter()
            .map(|_| self.ports.bind())
            .collect::<Result<Vec<_>>>()?;
        let recording = self.handle_on(call % self.desks.len() as u64);
        let ids = RecordingIds { call, recording };
        let now = self.shared.clock.now();
        let opened = Recording::open(ids, spec, sockets, now, &mut Random::new());
        let ports = opened.ports();
        self.shared.recordings.add(recording, usize::MAX)?;
        let order = Order::OpenRecording {
            recording: Box::new(opened),
        };
        if let Err(error) = self.desk(recording).mailbox.post(order) {
            self.shared.recordings.remove(recording);
            return Err(error);
        }
        Ok((recording, ports))
    }

    /// Says what was agreed with the recorder.
    pub fn set_recording(&self, recording: u64, target: &[u8]) -> Result<()> {
        let target: RecordingTarget = orders::read(target)?;
        target.validate(self.spec.address)?;
        let target = Box::new(target);
        self.order_recording(recording, Order::SetRecording { recording, target })
    }

    /// Stops a recording's media at once, or lets it go on.
    pub fn pause_recording(&self, recording: u64, on: bool) -> Result<()> {
        self.order_recording(recording, Order::PauseRecording { recording, on })
    }

    /// Asks for a recording's numbers.
    pub fn query_recording(&self, recording: u64) -> Result<()> {
        self.order_recording(recording, Order::QueryRecording { recording })
    }

    /// Ends a recording and frees its ports.
    pub fn close_recording(&self, recording: u64) -> Result<()> {
        self.order_recording(recording, Order::CloseRecording { recording })
    }

    fn order_recording(&self, recording: u64, order: Order) -> Result<()> {
        self.check_running()?;
        self.shared.recordings.check(recording)?;
        self.desk(recording).mailbox.post(order)
    }
}
