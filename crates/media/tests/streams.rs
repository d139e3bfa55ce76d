//! Streams of a call through the whole engine: orders in, packets in, messages out at a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#[path = "rig/endpoint.rs"]
mod endpoint;
mod rig;

use std::time::{Duration, Instant};

use endpoint::Endpoint;
use media::clock::Clock;
use media::error::ErrorKind;
use media::events::Event;
use media::orders::Side;
use media::random::Random;
use rig::{address, leg, rtp, Options, Rig, PCMU};
use serde_json::{json, Value};

/// A stream of both sides in the call's own codec.
fn spec() -> Value {
    json!({
        "streamId": "00000000-0000-4000-8000-000000000001",
        "encoding": "PCMU", "sampleRate": 8000, "frameMs": 20, "layout": "separate",
        "channels": [
            {"channel": 0, "side": "a", "participant": "caller"},
            {"channel": 1, "side": "b", "participant": "callee"}],
        "startedAtUnixMs": 1_700_000_000_000_u64,
        "startNs": Clock::start().now(),
        "statsMs": 0
    })
}

fn open(rig: &Rig, spec: &Value) -> u64 {
    rig.engine
        .open_stream(rig.call, spec.to_string().as_bytes())
        .unwrap()
}

fn connect(rig: &Rig, stream: u64, port: u16) {
    let attempt = json!({
        "addresses": [address(rig.network, 8).to_string()], "port": port, "serverName": null, "caPem": null,
        "hostHeader": "endpoint", "path": "/calls", "headers": [], "subprotocol": "sidestream.v1",
        "connect": "{}", "start": "{}", "timeoutMs": 5000
    });
    rig.engine
        .connect_stream(stream, attempt.to_string().as_bytes())
        .unwrap();
}

/// A call with one connected stream.
fn streamed(network: u8, spec: &Value) -> (Rig, u64, Endpoint) {
    let mut rig = Rig::new(network, Options::default());
    rig.lock();
    let endpoint = Endpoint::new(address(network, 8));
    let stream = open(&rig, spec);
    connect(&rig, stream, endpoint.address.port());
    rig.event(|event| matches!(event, Event::StreamConnected { .. }).then_some(()));
    (rig, stream, endpoint)
}

fn close(rig: &Rig, stream: u64) {
    let body = br#"{"reason":"call-ended"}"#;
    rig.engine.close_stream(stream, body, 1000, 2000).unwrap();
}

fn names(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["event"].as_str().unwrap())
        .collect()
}

/// The audio of a channel, joined.
fn audio(messages: &[Value], channel: i64) -> Vec<u8> {
    messages
        .iter()
        .filter(|message| message["media"]["channel"] == channel)
        .flat_map(|message| {
            let payload = message["media"]["payload"].as_str().unwrap();
            base64_simd::STANDARD.decode_to_vec(payload).unwrap()
        })
        .collect()
}

#[test]
fn what_is_relayed_is_streamed_bit_for_bit_and_the_call_may_end_first() {
    let (mut rig, stream, endpoint) = streamed(50, &spec());
    let mut random = Random::new();
    let mut spoken = [Vec::new(), Vec::new()];
    let begun = Instant::now();
    for sequence in 1..=50 {
        for (side, phone) in [&rig.a, &rig.b].into_iter().enumerate() {
            // Digital silence at both ends of the range would be taken for filling: keep clear of it.
            let payload: Vec<u8> = (0..160).map(|_| random.below(100) as u8).collect();
            phone.send(&rtp(0, sequence, side as u32 + 10, &payload));
            spoken[side].extend(payload);
        }
        assert_eq!(rig.b.receive().len(), 172);
        assert_eq!(rig.a.receive().len(), 172);
        // In step with the clock: a sender that is a little slow each time would fall behind it.
        let due = begun + Duration::from_millis(20) * u32::from(sequence);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    close(&rig, stream);
    rig.engine.close_call(rig.call).unwrap();
    rig.event(|event| matches!(event, Event::CallClosed { .. }).then_some(()));
    let (sent, code, totals) = rig.event(|event| match event {
        Event::StreamClosed {
            close_sent,
            close_code,
            totals,
            ..
        } => Some((*close_sent, *close_code, totals.clone())),
        _ => None,
    });
    assert_eq!((sent, code), (true, Some(1000)));
    let messages = endpoint.messages();
    let names = names(&messages);
    assert_eq!(
        (names[0], names[1], names[names.len() - 1]),
        ("connect", "start", "close")
    );
    for (index, message) in messages.iter().enumerate() {
        assert_eq!(message["sequenceNumber"], index as u64 + 1);
    }
    for (channel, spoken) in spoken.iter().enumerate() {
        let heard = audio(&messages, channel as i64);
        assert!(
            heard.windows(spoken.len()).any(|part| part == spoken),
            "channel {channel}"
        );
        assert_eq!(totals[channel].samples, heard.len() as u64);
    }
    let totals = rig.engine.totals();
    assert_eq!(
        (totals.calls, totals.streams, totals.ports_in_use),
        (0, 0, 0)
    );
    assert_eq!(totals.tally.stream_messages, messages.len() as u64);
}

#[test]
fn a_key_press_is_told_once_for_each_stream_with_its_channel() {
    let (mut rig, first, _endpoint) = streamed(51, &spec());
    let callee_only = {
        let mut spec = spec();
        spec["channels"] = json!([{"channel": 7, "side": "b", "participant": "agent"}]);
        spec
    };
    let second = open(&rig, &callee_only);
    for (sequence, end) in [(1, 0), (2, 0), (3, 0x80), (4, 0x80), (5, 0x80)] {
        let mut packet = rtp(101, sequence, 1, &[5, end + 10, 0x03, 0xC0]);
        packet[4..8].copy_from_slice(&320_u32.to_be_bytes());
        rig.b.send(&packet);
        rig.a.receive();
    }
    let mut presses = Vec::new();
    for _ in 0..2 {
        presses.push(rig.event(|event| match event {
            Event::KeyPress {
                stream,
                side,
                channel,
                participant,
                digit,
                duration_ms,
                ..
            } => Some((
                *stream,
                *side,
                *channel,
                participant.clone(),
                *digit,
                *duration_ms,
            )),
            _ => None,
        }));
    }
    let expected = [
        (first, Side::B, 1, "callee".to_owned(), '5', 120),
        (second, Side::B, 7, "agent".to_owned(), '5', 120),
    ];
    assert_eq!(presses, expected);
    let stats = rig.stats();
    assert_eq!(stats[1].lost, 0);
}

#[test]
fn a_key_still_down_at_the_end_is_told_before_the_end() {
    let (mut rig, stream, _endpoint) = streamed(52, &spec());
    rig.a.send(&rtp(101, 2, 1, &[11, 10, 0x01, 0x40]));
    rig.b.receive();
    rig.until(Side::A, |stats| stats.received_packets == 2);
    close(&rig, stream);
    let digit = rig.event(|event| match event {
        Event::KeyPress { digit, .. } => Some(*digit),
        _ => None,
    });
    assert_eq!(digit, '#');
}

#[test]
fn a_call_that_ends_takes_with_it_the_streams_that_were_not_told_to_close() {
    let (mut rig, stream, endpoint) = streamed(53, &spec());
    let unconnected = open(&rig, &spec());
    rig.engine.close_call(rig.call).unwrap();
    for handle in [stream, unconnected] {
        let sent = rig.event(|event| match event {
            Event::StreamClosed {
                stream, close_sent, ..
            } if *stream == handle => Some(*close_sent),
            _ => None,
        });
        assert!(!sent);
    }
    assert!(!names(&endpoint.until_gone()).contains(&"close"));
    let gone = rig.engine.abort_stream(stream).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::UnknownHandle);
}

#[test]
fn a_refused_connection_is_told_and_the_call_goes_on() {
    let mut rig = Rig::new(54, Options::default());
    rig.lock();
    let stream = open(&rig, &spec());
    let closed_port = {
        let listener = std::net::TcpListener::bind((address(54, 8), 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    connect(&rig, stream, closed_port);
    let reason = rig.event(|event| match event {
        Event::StreamConnectFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, "tcp_refused");
    rig.a.send(&rtp(0, 2, 1, b"unmoved"));
    assert_eq!(rig.b.receive(), rtp(0, 2, 1, b"unmoved"));
    rig.engine.abort_stream(stream).unwrap();
    rig.event(|event| matches!(event, Event::StreamClosed { .. }).then_some(()));
}

#[test]
fn silence_of_a_held_call_is_named_so_and_reception_is_told() {
    let mut spec = spec();
    spec["statsMs"] = json!(100);
    let (rig, stream, endpoint) = streamed(55, &spec);
    for (side, phone) in [("a", &rig.a), ("b", &rig.b)] {
        let remote = phone.rtp.local_addr().unwrap();
        rig.set(&leg(side, Some(remote), PCMU, true));
    }
    std::thread::sleep(Duration::from_millis(500));
    close(&rig, stream);
    let messages = endpoint.messages();
    let of_type = |name: &str| {
        let is = |message: &&Value| message["metadata"]["type"] == *name;
        messages.iter().filter(is).collect::<Vec<_>>()
    };
    let causes: Vec<_> = of_type("media.gap")
        .iter()
        .map(|gap| {
            gap["metadata"]["data"]["cause"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(causes.iter().any(|cause| cause == "hold"), "{causes:?}");
    let stats = of_type("stream.stats");
    let last = stats.last().expect("statistics").to_string();
    assert!(last.contains(r#""packetsReceived":1"#), "{last}");
}

#[test]
fn what_cannot_be_streamed_is_refused_at_once() {
    let rig = Rig::new(56, Options::default());
    let kind = |spec: &Value| {
        let refused = rig
            .engine
            .open_stream(rig.call, spec.to_string().as_bytes());
        refused.unwrap_err().kind()
    };
    let mut wrong = spec();
    wrong["sampleRate"] = json!(44_100);
    assert_eq!(kind(&wrong), ErrorKind::BadSpec);
    assert_eq!(kind(&json!({})), ErrorKind::BadSpec);
    let stream = open(&rig, &spec());
    let body_of = |body: &[u8]| rig.engine.send_on_stream(stream, "metadata", body);
    assert!(body_of(b"{\"type\":\"custom\"}").is_ok());
    assert_eq!(body_of(b"[]").unwrap_err().kind(), ErrorKind::BadSpec);
    assert_eq!(body_of(b"{} {}").unwrap_err().kind(), ErrorKind::BadSpec);
    let media = rig.engine.send_on_stream(stream, "media", b"{}");
    assert_eq!(media.unwrap_err().kind(), ErrorKind::BadSpec);
    let closed = rig.engine.close_stream(stream, b"{}", 1006, 100);
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::BadSpec);
    for _ in 1..10 {
        open(&rig, &spec());
    }
    assert_eq!(kind(&spec()), ErrorKind::Limit);
}
