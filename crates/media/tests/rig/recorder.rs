//! A recording server's side of a recording: sockets that keep what they get.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::engine::Engine;
use media::fork::RecordedStreamStats;
use media::rtcp::{self, Compound};
use media::rtp::{self, Header};

use super::{receive, Phone, PATIENCE};

/// One stream at the recorder.
pub struct Ear {
    pub phone: Phone,
}

/// A packet that a recorder got.
pub struct Got {
    pub header: Header,
    pub payload: Vec<u8>,
}

impl Ear {
    /// On `port` of `host`, for the stream that is sent from `gateway_port`.
    pub fn new(network: u8, host: u8, port: u16, gateway_port: u16) -> Self {
        Self {
            phone: Phone::new(network, host, port, gateway_port),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.phone.rtp.local_addr().unwrap()
    }

    pub fn hear(&self) -> Got {
        let packet = self.phone.receive();
        let header = rtp::parse(&packet).unwrap();
        let payload = packet[header.payload.clone()].to_vec();
        Got { header, payload }
    }

    /// The next packet that is no silence.
    pub fn hear_audio(&self) -> Got {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let got = self.hear();
            if got.payload.iter().any(|&byte| byte != 0xFF) {
                return got;
            }
            assert!(Instant::now() < deadline, "silence only");
        }
    }

    /// All that comes within `span`.
    pub fn hear_all(&self, span: Duration) -> Vec<Got> {
        let deadline = Instant::now() + span;
        let mut all = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.phone.rtp.set_read_timeout(Some(left)).unwrap();
            let Some(packet) = receive(&self.phone.rtp) else {
                break;
            };
            let header = rtp::parse(&packet).unwrap();
            let payload = packet[header.payload.clone()].to_vec();
            all.push(Got { header, payload });
        }
        self.phone.rtp.set_read_timeout(Some(PATIENCE)).unwrap();
        all
    }

    pub fn report(&self) -> Compound {
        let packet = receive(&self.phone.rtcp).expect("a report");
        rtcp::parse(&packet).unwrap()
    }
}

/// The order that opens a recording of both sides.
pub fn spec(dtmf: &str, early_ms: u32) -> Vec<u8> {
    spec_from(dtmf, early_ms, 0)
}

/// The same, with its zero.
pub fn spec_from(dtmf: &str, early_ms: u32, start_ns: u64) -> Vec<u8> {
    format!(
        r#"{{"recordingId":"r","dtmf":"{dtmf}","earlyMs":{early_ms},"startNs":{start_ns},"streams":[
        {{"label":"1","side":"a","cname":"caller-name","ssrc":null}},
        {{"label":"2","side":"b","cname":"callee-name","ssrc":12345}}]}}"#
    )
    .into_bytes()
}

/// What was agreed on one stream: the codec as `name/rate/type`.
pub fn stream(label: &str, remote: Option<SocketAddr>, codec: &str, on: bool) -> String {
    let parts: Vec<&str> = codec.split('/').collect();
    let remote = remote.map_or("null".into(), |remote| {
        format!(
            r#"{{"host":"{}","rtpPort":{},"rtcpPort":{}}}"#,
            remote.ip(),
            remote.port(),
            remote.port() + 1
        )
    });
    format!(
        r#"{{"label":"{label}","remote":{remote},"on":{on},"eventPayloadType":96,"ptimeMs":20,
        "codec":{{"name":"{}","clockRate":{},"payloadType":{},"channels":1}}}}"#,
        parts[0], parts[1], parts[2]
    )
}

/// What was agreed on all streams.
pub fn target(streams: &[String]) -> Vec<u8> {
    format!(r#"{{"streams":[{}]}}"#, streams.join(",")).into_bytes()
}

/// A recording with an ear for each side.
pub struct Recorder {
    pub recording: u64,
    pub caller: Ear,
    pub callee: Ear,
}

impl Recorder {
    /// Opens a recording whose recorder is `host`, and does not answer yet.
    pub fn open(engine: &Engine, call: u64, (network, host): (u8, u8), spec: &[u8]) -> Self {
        let (recording, ports) = engine.open_recording(call, spec).unwrap();
        assert_eq!(ports.len(), 2);
        Self {
            recording,
            caller: Ear::new(network, host, 6000, ports[0]),
            callee: Ear::new(network, host, 6002, ports[1]),
        }
    }

    /// Answers with this codec.
    pub fn answer(&self, engine: &Engine, codec: &str) {
        let streams = [
            stream("1", Some(self.caller.address()), codec, true),
            stream("2", Some(self.callee.address()), codec, true),
        ];
        engine
            .set_recording(self.recording, &target(&streams))
            .unwrap();
    }
}

/// One of a recording's streams by its label.
pub fn of_label<'a>(streams: &'a [RecordedStreamStats], label: &str) -> &'a RecordedStreamStats {
    streams
        .iter()
        .find(|stream| stream.label == label)
        .expect("a stream of that label")
}
