//! The engine: its workers, and the orders that they get. Every order returns at once.
mod recordings;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use serde::Serialize;

use crate::clock::{Clock, MILLISECOND};
use crate::connector::{Connector, ConnectorLimits};
use crate::error::{ErrorKind, MediaError, Result};
use crate::events::Events;
use crate::orders::{self, ConnectAttempt, EngineSpec, LegSpec, StreamSpec};
use crate::ports::PortPool;
use crate::queue::EventQueue;
use crate::registry::Registry;
use crate::stream::{MediaStream, StreamIds};
use crate::tally::{SharedTally, Tally};
use crate::worker::mailbox::{Mailbox, Order};
use crate::worker::{Desk, Shared, Worker};
use crate::ws::frame::is_close_code;
use crate::ws::message::check_object;

/// Counters since the engine began, and gauges of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineTotals {
    /// Calls open now.
    pub calls: usize,
    /// Streams open now.
    pub streams: usize,
    /// Recordings open now.
    pub recordings: usize,
    /// UDP ports bound now.
    pub ports_in_use: usize,
    /// UDP ports of the range.
    pub ports_total: usize,
    /// What the workers counted.
    #[serde(flatten)]
    pub tally: Tally,
    /// Events that could not wait.
    pub events_dropped: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    spec: EngineSpec,
    shared: Arc<Shared>,
    ports: Arc<PortPool>,
    desks: Vec<Arc<Desk>>,
    connector: Mutex<Option<Connector>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    handles: AtomicU64,
    stopped: AtomicBool,
}

impl Engine {
    /// Starts the threads.
    pub fn start(spec: EngineSpec) -> Result<Self> {
        spec.validate()?;
        let clock = Clock::start();
        let shared = Arc::new(Shared {
            clock,
            learning: spec.learning_ms.saturating_mul(MILLISECOND),
            idle_limit: spec.media_timeout_ms.saturating_mul(MILLISECOND),
            events: EventQueue::new()?,
            calls: Registry::default(),
            streams: Registry::default(),
            recordings: Registry::default(),
        });
        let ports = PortPool::new(spec.address, spec.port_min, spec.port_max, clock);
        let mut engine = Self {
            shared,
            ports: Arc::new(ports),
            desks: Vec::new(),
            connector: Mutex::new(Some(Connector::start(ConnectorLimits::default())?)),
            threads: Mutex::new(Vec::new()),
            handles: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            spec,
        };
        for _ in 0..engine.thread_count() {
            engine.start_worker()?;
        }
        Ok(engine)
    }

    fn thread_count(&self) -> usize {
        match self.spec.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }

    fn start_worker(&mut self) -> Result<()> {
        let desk = Arc::new(Desk {
            mailbox: Mailbox::new()?,
            tally: SharedTally::default(),
        });
        let worker = Worker::new(Arc::clone(&self.shared), Arc::clone(&desk))?;
        let thread = thread::Builder::new()
            .name(format!("media-{}", self.desks.len()))
            .spawn(|| worker.run())?;
        self.desks.push(desk);
        let threads = self.threads.get_mut();
        threads.unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Readable while events wait.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.shared.events.as_fd()
    }

    /// Takes up to some hundred events, oldest first.
    pub fn events(&self) -> Events {
        self.shared.events.take()
    }

    /// Takes up to some hundred events as a JSON array.
    pub fn events_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.events()).map_err(MediaError::bad_spec)
    }

    /// Binds two legs. Returns the call's handle and the RTP ports of side `a` and `b`.
    pub fn open_call(&self) -> Result<(u64, u16, u16)> {
        self.check_running()?;
        let sockets = Box::new([self.ports.bind()?, self.ports.bind()?]);
        let (a, b) = (sockets[0].port, sockets[1].port);
        let number = self.handles.fetch_add(1, Ordering::Relaxed) + 1;
        let call = self.handle_on(number % self.desks.len() as u64);
        self.shared.calls.add(call, usize::MAX)?;
        let posted = self
            .desk(call)
            .mailbox
            .post(Order::OpenCall { call, sockets });
        if let Err(error) = posted {
            self.shared.calls.remove(call);
            return Err(error);
        }
        Ok((call, a, b))
    }

    /// Says what was agreed on a leg.
    pub fn set_leg(&self, call: u64, spec: &[u8]) -> Result<()> {
        let spec: LegSpec = orders::read(spec)?;
        spec.validate(self.spec.address)?;
        let spec = Box::new(spec);
        self.order_call(call, Order::SetLeg { call, spec })
    }

    /// Relays media between the legs, or stops it.
    pub fn bridge(&self, call: u64, on: bool) -> Result<()> {
        self.order_call(call, Order::Bridge { call, on })
    }

    /// Asks for a call's numbers.
    pub fn query_call(&self, call: u64) -> Result<()> {
        self.order_call(call, Order::QueryCall { call })
    }

    /// Closes the legs and frees their ports.
    pub fn close_call(&self, call: u64) -> Result<()> {
        self.order_call(call, Order::CloseCall { call })
    }

    /// Begins a stream and returns its handle.
    pub fn open_stream(&self, call: u64, spec: &[u8]) -> Result<u64> {
        self.check_running()?;
        self.shared.calls.check(call)?;
        let spec: StreamSpec = orders::read(spec)?;
        let stream = self.handle_on(call % self.desks.len() as u64);
        let ids = StreamIds { call, stream };
        let clock = self.shared.clock;
        let media = Box::new(MediaStream::open(ids, spec, clock.now())?);
        self.shared.streams.add(stream, self.spec.max_streams)?;
        let order = Order::OpenStream {
            call,
            stream,
            media,
        };
        if let Err(error) = self.desk(stream).mailbox.post(order) {
            self.shared.streams.remove(stream);
            return Err(error);
        }
        Ok(stream)
    }

    /// Makes one attempt to connect a stream.
    pub fn connect_stream(&self, stream: u64, attempt: &[u8]) -> Result<()> {
        self.check_running()?;
        self.shared.streams.check(stream)?;
        let attempt: ConnectAttempt = orders::read(attempt)?;
        let desk = Arc::clone(self.desk(stream));
        let reply = Box::new(move |outcome| {
            let outcome = Box::new(outcome);
            // A connection's end is always taken; the worker that could refuse it does not exist.
            let _ = desk.mailbox.post(Order::Connection { stream, outcome });
        });
        let connector = self
            .connector
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        connector
            .as_ref()
            .ok_or_else(stopped)?
            .connect(attempt, reply);
        Ok(())
    }

    /// Queues a control message, `metadata` or `dtmf`, with this body.
    pub fn send_on_stream(&self, stream: u64, event: &str, body: &[u8]) -> Result<()> {
        if !matches!(event, "metadata" | "dtmf") {
            return Err(MediaError::bad_spec("the event must be metadata or dtmf"));
        }
        check_object(body)?;
        let order = Order::SendOnStream {
            stream,
            event: event.into(),
            body: body.into(),
        };
        self.order_stream(stream, order)
    }

    /// Stops a stream's media, or lets it go on.
    pub fn pause_stream(&self, stream: u64, on: bool) -> Result<()> {
        self.order_stream(stream, Order::PauseStream { stream, on })
    }

    /// Ends a stream in good order.
    pub fn close_stream(&self, stream: u64, body: &[u8], code: u16, drain_ms: u32) -> Result<()> {
        check_object(body)?;
        if !is_close_code(code) {
            return Err(MediaError::bad_spec("no WebSocket Close code"));
        }
        let order = Order::CloseStream {
            stream,
            body: body.into(),
            code,
            drain_ms,
        };
        self.order_stream(stream, order)
    }

    /// Lets go of a stream at once.
    pub fn abort_stream(&self, stream: u64) -> Result<()> {
        self.order_stream(stream, Order::AbortStream { stream })
    }

    /// Counters and gauges.
    pub fn totals(&self) -> EngineTotals {
        let mut tally = Tally::default();
        for desk in &self.desks {
            tally.add(&desk.tally.read());
        }
        EngineTotals {
            calls: self.shared.calls.count(),
            streams: self.shared.streams.count(),
            recordings: self.shared.recordings.count(),
            ports_in_use: self.ports.in_use(),
            ports_total: self.ports.total(),
            tally,
            events_dropped: self.shared.events.dropped(),
        }
    }

    /// The same as JSON.
    pub fn totals_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&self.totals()).map_err(MediaError::bad_spec)
    }

    /// Stops all threads and waits for them. Every later order is refused with `stopped`.
    pub fn shutdown(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        *self
            .connector
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        for desk in &self.desks {
            // The end of a worker is always taken.
            let _ = desk.mailbox.post(Order::Stop);
        }
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // A worker that has panicked is as gone as one that has stopped.
            let _ = thread.join();
        }
    }

    fn check_running(&self) -> Result<()> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(stopped());
        }
        Ok(())
    }

    /// A new handle that tells its worker: the remainder by their number.
    fn handle_on(&self, worker: u64) -> u64 {
        let number = self.handles.fetch_add(1, Ordering::Relaxed) + 1;
        number * self.desks.len() as u64 + worker
    }

    fn desk(&self, handle: u64) -> &Arc<Desk> {
        &self.desks[(handle % self.desks.len() as u64) as usize]
    }

    fn order_call(&self, call: u64, order: Order) -> Result<()> {
        self.check_running()?;
        self.shared.calls.check(call)?;
        self.desk(call).mailbox.post(order)
    }

    fn order_stream(&self, stream: u64, order: Order) -> Result<()> {
        self.check_running()?;
        self.shared.streams.check(stream)?;
        self.desk(stream).mailbox.post(order)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn stopped() -> MediaError {
    MediaError::new(ErrorKind::Stopped, "the engine has been shut down")
}
