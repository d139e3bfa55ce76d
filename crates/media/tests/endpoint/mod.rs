//! An endpoint to test against, made of parts that are not ours: `tungstenite` over a rustls server, with
//! certificates by `rcgen`; and a rig that drives a stream as a worker does, in invented time.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{mpsc, Arc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use media::clock::{Nanos, MILLISECOND};
use media::codec::{AudioFormat, Coding};
use media::connector::{Connector, ConnectorLimits, Established, Failed};
use media::events::{Event, Events};
use media::orders::{self, ConnectAttempt, Side, StreamSpec};
use media::stream::{MediaStream, StreamIds};
use media::tap::{TapCodec, TapPacket};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::{Message, WebSocket};

/// Nothing on loopback takes so long.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What a WebSocket of the endpoint runs over.
pub trait Wire: Read + Write + Send {
    /// The socket below.
    fn socket(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Wire for StreamOwned<ServerConnection, TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// An accepted WebSocket.
pub type Peer = WebSocket<Box<dyn Wire>>;

/// A certificate authority of the test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// How a certificate differs from a good one for 127.0.0.1.
#[derive(Default)]
pub struct Flaw {
    /// The name it is for instead.
    pub name: Option<&'static str>,
    /// It has expired.
    pub expired: bool,
}

impl Authority {
    /// A new one with a name of its own.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// The settings of a server with a certificate by this authority.
    pub fn server(&self, flaw: &Flaw) -> Arc<ServerConfig> {
        let name = flaw.name.unwrap_or("127.0.0.1");
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if flaw.expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 2, 3);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

/// A listening socket whose next connections are served one after the other.
pub struct Endpoint {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Endpoint {
    /// Listens on 127.0.0.1.
    pub fn new(tls: Option<Arc<ServerConfig>>) -> Self {
        Self {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            tls,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Serves the next connection on a thread, as a WebSocket.
    pub fn serve<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Peer) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let tls = self.tls.clone();
        self.serve_raw(move |socket| {
            let wire: Box<dyn Wire> = match tls {
                None => Box::new(socket),
                Some(config) => Box::new(StreamOwned::new(
                    ServerConnection::new(config).unwrap(),
                    socket,
                )),
            };
            let mut peer = tungstenite::accept_hdr(wire, ChooseProtocol).expect("an upgrade");
            act(&mut peer)
        })
    }

    /// Serves the next connection on a thread, as it is.
    pub fn serve_raw<T: Send + 'static>(
        &self,
        act: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let listener = self.listener.try_clone().unwrap();
        std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            socket.set_write_timeout(Some(LIMIT)).unwrap();
            act(socket)
        })
    }

    /// An attempt to connect to it that trusts `authority`.
    pub fn attempt(&self, authority: Option<&Authority>) -> ConnectAttempt {
        let connect = r#"{"protocol":"sidestream","version":"1.0"}"#;
        ConnectAttempt {
            addresses: vec![self.address().ip()],
            port: self.address().port(),
            server_name: authority.map(|_| "127.0.0.1".to_owned()),
            ca_pem: authority.map(|authority| authority.pem.clone()),
            host_header: self.address().to_string(),
            path: "/calls?x=1".to_owned(),
            headers: vec![("Authorization".to_owned(), "Bearer secret".to_owned())],
            subprotocol: "sidestream.v1".to_owned(),
            connect: connect.to_owned(),
            start: r#"{"callId":"c"}"#.to_owned(),
            timeout_ms: 10_000,
        }
    }
}

/// Checks the upgrade's headers and selects the subprotocol.
struct ChooseProtocol;

impl tungstenite::handshake::server::Callback for ChooseProtocol {
    fn on_request(
        self,
        request: &tungstenite::handshake::server::Request,
        mut response: tungstenite::handshake::server::Response,
    ) -> Result<
        tungstenite::handshake::server::Response,
        tungstenite::handshake::server::ErrorResponse,
    > {
        let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(request.uri().to_string(), "/calls?x=1");
        assert_eq!(header("Authorization"), "Bearer secret");
        let protocol = header("Sec-WebSocket-Protocol");
        assert_eq!(protocol, "sidestream.v1");
        response
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        Ok(response)
    }
}

/// One message that an endpoint has got.
pub type Json = serde_json::Value;

/// Reads the next text message; pings are answered on the way. None when the endpoint's peer closes.
pub fn next(peer: &mut Peer) -> Option<Json> {
    loop {
        match peer.read() {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Reads messages until one fits, which is the last one returned.
pub fn read_until(peer: &mut Peer, fits: impl Fn(&Json) -> bool) -> Vec<Json> {
    let mut messages = Vec::new();
    while let Some(message) = next(peer) {
        let found = fits(&message);
        messages.push(message);
        if found {
            return messages;
        }
    }
    panic!(
        "the connection ended after {} messages: {:?}",
        messages.len(),
        messages.last()
    );
}

/// Reads all messages; the code of the Close that ends them, after having answered it.
pub fn read_all(peer: &mut Peer) -> (Vec<Json>, Option<u16>) {
    let mut messages = Vec::new();
    loop {
        match peer.read() {
            Ok(Message::Text(text)) => messages.push(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(frame)) => {
                // The answer is written by the next call.
                while peer.read().is_ok() {}
                return (messages, frame.map(|frame| frame.code.into()));
            }
            Ok(_) => {}
            Err(_) => return (messages, None),
        }
    }
}

/// The sequence numbers of messages.
pub fn numbers(messages: &[Json]) -> Vec<u64> {
    messages
        .iter()
        .map(|message| message["sequenceNumber"].as_u64().unwrap())
        .collect()
}

/// Messages of an event.
pub fn of_event<'a>(messages: &'a [Json], event: &str) -> Vec<&'a Json> {
    messages
        .iter()
        .filter(|message| message["event"] == event)
        .collect()
}

/// Gaps of a cause, as channel, first sample and samples.
pub fn gaps(messages: &[Json], cause: &str) -> Vec<(i64, u64, u64)> {
    let metadata = messages.iter().map(|message| &message["metadata"]);
    let gaps =
        metadata.filter(|body| body["type"] == "media.gap" && body["data"]["cause"] == cause);
    gaps.map(|body| {
        let data = &body["data"];
        let number = |key: &str| data[key].as_u64().unwrap();
        (
            data["channel"].as_i64().unwrap(),
            number("fromTimestamp"),
            number("samples"),
        )
    })
    .collect()
}

/// The payload of frame `index` of a side: no two are alike.
pub fn payload(side: Side, index: u64) -> Vec<u8> {
    let seed = index * 2 + side.index() as u64;
    (0..160)
        .map(|byte| (seed.wrapping_mul(31).wrapping_add(byte * 7) % 251) as u8)
        .collect()
}

/// An order for a stream of both sides whose sample 0 is at `start`.
pub fn spec(start: Nanos) -> StreamSpec {
    let json = format!(
        r#"{{"streamId":"0192-stream","encoding":"PCMU","sampleRate":8000,"frameMs":20,"layout":"separate",
        "channels":[{{"channel":0,"side":"a","participant":"caller"}},{{"channel":1,"side":"b","participant":"callee"}}],
        "startedAtUnixMs":1700000000000,"startNs":{start},"statsMs":0}}"#
    );
    orders::read(json.as_bytes()).unwrap()
}

/// A stream driven as a worker does; its time goes on only when told, the sockets are real.
pub struct Rig {
    /// The stream.
    pub stream: MediaStream,
    /// What it has told.
    pub events: Events,
    /// Now.
    pub now: Nanos,
    connector: Connector,
    played: u64,
}

/// When a rig begins.
const START: Nanos = 1_000 * MILLISECOND;

impl Rig {
    /// A stream with the usual order, changed by `change`.
    pub fn new(change: impl FnOnce(&mut StreamSpec)) -> Self {
        let mut spec = spec(START);
        change(&mut spec);
        let ids = StreamIds { call: 7, stream: 9 };
        Self {
            stream: MediaStream::open(ids, spec, START).unwrap(),
            events: Events::new(),
            now: START,
            connector: Connector::start(ConnectorLimits::default()).unwrap(),
            played: 0,
        }
    }

    /// Makes one attempt and attaches what it gives.
    pub fn connect(&mut self, attempt: ConnectAttempt) {
        let established = attempt_on(&self.connector, attempt).expect("a connection");
        self.stream.attach(established, self.now, &mut self.events);
    }

    /// Plays frames of both sides in step with time.
    pub fn play(&mut self, frames: u64) {
        for _ in 0..frames {
            for side in Side::BOTH {
                let payload = payload(side, self.played);
                let packet = TapPacket {
                    codec: TapCodec::Audio(AudioFormat {
                        coding: Coding::Pcmu,
                        clock_rate: 8000,
                        channels: 1,
                    }),
                    ssrc: 1 + side.index() as u32,
                    sequence: self.played as u16,
                    timestamp: (self.played * 160) as u32,
                    payload: &payload,
                };
                self.stream
                    .on_rtp(side, &packet, self.now, &mut self.events);
            }
            self.played += 1;
            self.turn(Duration::ZERO);
            self.now += 20 * MILLISECOND;
            self.turn(Duration::ZERO);
        }
    }

    /// Ticks and serves the socket once.
    pub fn turn(&mut self, wait: Duration) {
        if self.stream.next_due() <= self.now {
            self.stream.tick(self.now, &mut self.events);
            assert!(
                self.stream.next_due() > self.now,
                "an alarm that asks for itself"
            );
        }
        let Some(fd) = self.stream.fd() else {
            return std::thread::sleep(wait.min(Duration::from_millis(1)));
        };
        let mut poll = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        if self.stream.wants_write() {
            poll.events |= libc::POLLOUT;
        }
        // SAFETY: one valid entry, whose descriptor the stream keeps open during the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, wait.as_millis() as i32) };
        if ready > 0 {
            let readable = poll.revents & !libc::POLLOUT != 0;
            let writable = poll.revents & libc::POLLOUT != 0;
            self.stream
                .on_ready(readable, writable, self.now, &mut self.events);
        }
    }

    /// Serves the socket, without time going on, until something is so.
    pub fn serve_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(
                begun.elapsed() < LIMIT,
                "waited in vain for {what}; told: {:?}",
                self.events
            );
            self.turn(Duration::from_millis(5));
        }
    }

    /// Serves until an event of a kind has been told, and gives it.
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Event) -> bool) -> Event {
        self.serve_until(what, |rig| rig.events.iter().any(&fits));
        self.events
            .iter()
            .find(|event| fits(event))
            .unwrap()
            .clone()
    }

    /// Lets time go on in steps, ticking and serving.
    pub fn advance(&mut self, span: Nanos) {
        let end = self.now + span;
        while self.now < end {
            self.now = (self.now + 20 * MILLISECOND).min(end);
            self.turn(Duration::ZERO);
        }
    }

    /// Orders the end and serves until it has come.
    pub fn close(&mut self) -> Closed {
        self.stream
            .close(br#"{"reason":"call-ended"}"#, 1000, 5000, self.now)
            .unwrap();
        self.closed()
    }

    /// Serves until the stream is over.
    pub fn closed(&mut self) -> Closed {
        let event = self.wait_for("stream_closed", |event| {
            matches!(event, Event::StreamClosed { .. })
        });
        let Event::StreamClosed {
            close_sent,
            close_code,
            totals,
            messages,
            gap_samples,
            max_queue_ms,
            ..
        } = event
        else {
            unreachable!()
        };
        assert!(self.stream.is_finished() && self.stream.fd().is_none());
        let totals = serde_json::to_value(totals).unwrap();
        Closed {
            close_sent,
            close_code,
            totals,
            messages,
            gap_samples,
            max_queue_ms,
        }
    }

    /// Serves until the connection is lost; reason, detail and code.
    pub fn lost(&mut self) -> (&'static str, String, Option<u16>) {
        let event = self.wait_for("a loss", |event| matches!(event, Event::StreamLost { .. }));
        let Event::StreamLost {
            reason,
            detail,
            close_code,
            ..
        } = event
        else {
            unreachable!()
        };
        self.events.clear();
        (reason, detail, close_code)
    }
}

/// `stream_closed`.
#[derive(Debug)]
pub struct Closed {
    pub close_sent: bool,
    pub close_code: Option<u16>,
    pub totals: Json,
    pub messages: u64,
    pub gap_samples: std::collections::BTreeMap<&'static str, u64>,
    pub max_queue_ms: u64,
}

/// One attempt and its outcome.
pub fn attempt_on(connector: &Connector, attempt: ConnectAttempt) -> Result<Established, Failed> {
    let (sender, receiver) = mpsc::channel();
    connector.connect(
        attempt,
        Box::new(move |outcome| sender.send(outcome).unwrap()),
    );
    receiver.recv_timeout(LIMIT).expect("an outcome in time")
}

/// Checks that the messages of a whole stream, each once, add up to the totals: every frame of both channels in order
/// with the payload that was played, hashes, and gaps where frames are missing.
pub fn check_accounts(messages: &[Json], totals: &Json) {
    use sha2::{Digest, Sha256};
    for total in totals.as_array().unwrap() {
        let channel = total["channel"].as_i64().unwrap();
        let side = Side::BOTH[channel as usize];
        let mut hash = Sha256::new();
        let (mut samples, mut chunks) = (0, 0);
        let mut last = None;
        for media in of_event(messages, "media")
            .iter()
            .map(|message| &message["media"])
        {
            if media["channel"] != channel {
                continue;
            }
            let timestamp = media["timestamp"].as_u64().unwrap();
            assert!(last < Some(timestamp), "in order, each once");
            last = Some(timestamp);
            let text = media["payload"].as_str().unwrap();
            let bytes = base64_simd::STANDARD.decode_to_vec(text).unwrap();
            assert_eq!(bytes, payload(side, timestamp / 160), "at {timestamp}");
            hash.update(&bytes);
            samples += bytes.len() as u64;
            chunks += 1;
        }
        assert_eq!(total["chunks"], chunks);
        assert_eq!(total["samples"], samples);
        assert_eq!(total["sha256"], format!("{:x}", hash.finalize()));
    }
}
