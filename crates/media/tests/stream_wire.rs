//! What a stream writes and when, and what it makes of the bytes that come in: byte for byte on a loopback connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod endpoint;

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

use endpoint::{spec, LIMIT};
use media::clock::{Nanos, MILLISECOND, SECOND};
use media::codec::{AudioFormat, Coding};
use media::connector::Established;
use media::events::{Event, Events};
use media::orders::{Side, StreamSpec};
use media::stream::{MediaStream, StreamIds};
use media::tap::{Layout, TapCodec, TapPacket};
use media::ws::frame::apply_mask;
use proptest::prelude::*;

/// Both ends of a connection on loopback; the far one is read without waiting.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for socket in [&near, &far] {
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
    }
    (near, far)
}

/// A stream whose sample 0 is at nanosecond 0, by the usual order.
fn opened(change: impl FnOnce(&mut StreamSpec)) -> MediaStream {
    let mut spec = spec(0);
    change(&mut spec);
    MediaStream::open(StreamIds { call: 1, stream: 2 }, spec, 0).unwrap()
}

/// Gives a stream a connection on which these bytes have come already; the far end of it.
fn attach(stream: &mut MediaStream, came: &[u8], events: &mut Events) -> TcpStream {
    let (near, far) = pair();
    let established = Established {
        address: near.peer_addr().unwrap(),
        socket: near,
        tls: None,
        leftover: came.to_vec(),
        tls_version: "",
        connect_ms: 0,
        connect: "{}".to_owned(),
        start: "{}".to_owned(),
    };
    stream.attach(established, 0, events);
    assert!(matches!(events[0], Event::StreamConnected { .. }));
    far
}

fn connected(change: impl FnOnce(&mut StreamSpec)) -> (MediaStream, TcpStream) {
    let mut stream = opened(change);
    let far = attach(&mut stream, b"", &mut Events::new());
    (stream, far)
}

/// The texts of the frames that have arrived, unmasked.
fn arrived(far: &mut TcpStream) -> Vec<String> {
    let mut bytes = Vec::new();
    let error = far.read_to_end(&mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let (mut rest, mut texts) = (&mut bytes[..], Vec::new());
    while !rest.is_empty() {
        let (length, header) = match rest[1] & 0x7F {
            126 => (usize::from(u16::from_be_bytes([rest[2], rest[3]])), 4),
            short => (usize::from(short), 2),
        };
        let key = [
            rest[header],
            rest[header + 1],
            rest[header + 2],
            rest[header + 3],
        ];
        let (frame, after) = rest.split_at_mut(header + 4 + length);
        apply_mask(&mut frame[header + 4..], key);
        texts.push(String::from_utf8_lossy(&frame[header + 4..]).into_owned());
        rest = after;
    }
    texts
}

fn play(stream: &mut MediaStream, side: Side, index: u16, now: Nanos) {
    let format = AudioFormat {
        coding: Coding::Pcmu,
        clock_rate: 8000,
        channels: 1,
    };
    let packet = TapPacket {
        codec: TapCodec::Audio(format),
        ssrc: side.index() as u32,
        sequence: index,
        timestamp: u32::from(index) * 160,
        payload: &[index as u8; 160],
    };
    stream.on_rtp(side, &packet, now, &mut Events::new());
}

#[test]
fn one_write_of_a_flush_interval_carries_both_channels() {
    let (mut stream, mut far) = connected(|_| {});
    assert_eq!(arrived(&mut far).len(), 2, "connect and start go at once");
    for index in 0..50 {
        let now = Nanos::from(index) * 20 * MILLISECOND;
        play(&mut stream, Side::A, index, now);
        play(&mut stream, Side::B, index, now);
        assert!(arrived(&mut far).is_empty());
        let due = stream.next_due();
        assert!((now + 1..=now + 20 * MILLISECOND).contains(&due), "{due}");
        stream.tick(due - 1, &mut Events::new());
        assert!(arrived(&mut far).is_empty());
        stream.tick(due, &mut Events::new());
        let texts = arrived(&mut far);
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].contains(r#""channel":0"#) && texts[1].contains(r#""channel":1"#));
    }
}

#[test]
fn streams_do_not_write_all_at_once() {
    let first_write = |number: u32| {
        let (mut stream, _far) = connected(|spec| spec.stream_id = format!("stream-{number}"));
        play(&mut stream, Side::A, 0, 0);
        stream.next_due() / MILLISECOND
    };
    let instants: HashSet<Nanos> = (0..64).map(first_write).collect();
    assert!(instants.len() > 12, "{instants:?}");
}

#[test]
fn without_a_flush_interval_each_frame_goes_at_once() {
    let (mut stream, mut far) = connected(|spec| spec.flush_ms = 0);
    arrived(&mut far);
    for index in 0..10 {
        play(
            &mut stream,
            Side::A,
            index,
            Nanos::from(index) * 20 * MILLISECOND,
        );
        assert_eq!(arrived(&mut far).len(), 1);
    }
    stream.send_control("dtmf", b"{}", SECOND).unwrap();
    assert!(stream.next_due() <= SECOND);
    stream.tick(SECOND, &mut Events::new());
    assert!(arrived(&mut far)[0].starts_with(r#"{"event":"dtmf""#));
}

#[test]
fn joined_layouts_have_one_account() {
    for (layout, channel, participant) in
        [(Layout::Interleaved, -1, ""), (Layout::Mixed, 0, "mixed")]
    {
        let (mut stream, mut far) = connected(|spec| spec.layout = layout);
        for index in 0..5 {
            let now = Nanos::from(index) * 20 * MILLISECOND;
            play(&mut stream, Side::A, index, now);
            play(&mut stream, Side::B, index, now);
        }
        stream.close(b"{}", 1000, 1000, 100 * MILLISECOND).unwrap();
        let mut events = Events::new();
        stream.tick(100 * MILLISECOND, &mut events);
        let texts = arrived(&mut far);
        let media = texts
            .iter()
            .filter(|text| text.starts_with(r#"{"event":"media""#));
        assert_eq!(media.count(), 5);
        stream.abort(100 * MILLISECOND, &mut events);
        let Some(Event::StreamClosed {
            totals,
            close_sent: true,
            ..
        }) = events.last()
        else {
            panic!("{events:?}");
        };
        assert_eq!((totals.len(), totals[0].channel), (1, channel));
        assert_eq!(
            (totals[0].participant_id.as_str(), totals[0].chunks),
            (participant, 5)
        );
        assert_eq!(totals[0].samples, 800);
    }
}

#[test]
fn orders_out_of_bounds_are_refused() {
    let mut stream = opened(|_| {});
    assert!(stream.send_control("media", b"{}", 0).is_err());
    assert!(stream.send_control("metadata", b"[]", 0).is_err());
    assert!(stream.close(b"{}", 1005, 0, 0).is_err());
    assert!(stream.close(b"no", 1000, 0, 0).is_err());
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(200 * 1024));
    let sent = (0..100).take_while(|_| stream.send_control("metadata", body.as_bytes(), 0).is_ok());
    assert_eq!(sent.count(), 20, "4 MiB may wait");
}

#[test]
fn only_one_statistics_message_waits_at_a_time() {
    let mut stream = opened(|spec| spec.stats_ms = 1000);
    for second in 1..100 {
        assert!(stream.stats_due(second * SECOND));
        stream.tick(second * SECOND, &mut Events::new());
    }
    let mut far = attach(&mut stream, b"", &mut Events::new());
    let texts = arrived(&mut far);
    let stats = texts
        .iter()
        .filter(|text| text.contains(r#""type":"stream.stats""#));
    assert_eq!(stats.count(), 1);
}

/// A frame as a server sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "\\PC{0,200}".prop_map(|text| frame(0x81, text.as_bytes())),
        1 => Just(frame(0x81, br#"{"event":"ack","sequenceNumber":0}"#)),
        1 => prop::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| frame(0x89, &bytes)),
        1 => prop::collection::vec(any::<u8>(), 0..125).prop_map(|bytes| frame(0x8A, &bytes)),
        1 => Just([frame(0x01, b"{\"a\""), frame(0x89, b""), frame(0x80, b":1}")].concat()),
        1 => Just(frame(0x88, &[0x03, 0xE9, b'x'])),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ]
}

/// What a stream tells about these bytes, given in these pieces.
fn told(pieces: &[&[u8]]) -> Events {
    let mut stream = opened(|_| {});
    let mut events = Events::new();
    let mut far = attach(&mut stream, pieces[0], &mut events);
    for piece in &pieces[1..] {
        let written = far.write(piece);
        let Some(fd) = stream.fd() else { break };
        if matches!(written, Ok(1..)) {
            let mut poll = libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid entry, whose descriptor the stream keeps open during the call.
            let ready = unsafe { libc::poll(&raw mut poll, 1, LIMIT.as_millis() as i32) };
            assert_eq!(ready, 1);
            stream.on_ready(true, false, 0, &mut events);
        }
    }
    stream.abort(0, &mut events);
    events.retain(|event| {
        !matches!(
            event,
            Event::StreamClosed { .. } | Event::StreamConnected { .. }
        )
    });
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_of_what_comes_in_tells_the_same(
        frames in prop::collection::vec(any_frame(), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let bytes = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([bytes.len()]) {
            pieces.push(&bytes[from..cut]);
            from = cut;
        }
        prop_assert_eq!(told(&pieces), told(&[&bytes]));
    }

    #[test]
    fn any_bytes_are_borne(bytes: Vec<u8>) {
        let events = told(&[&bytes]);
        prop_assert!(events.len() <= bytes.len() + 1);
    }
}

#[test]
fn a_far_end_that_is_gone_is_a_loss() {
    let (mut stream, far) = connected(|_| {});
    drop(far);
    let (begun, mut events) = (Instant::now(), Events::new());
    while stream.fd().is_some() {
        assert!(begun.elapsed() < LIMIT);
        stream.on_ready(true, true, 0, &mut events);
    }
    // Unread bytes at the far end make the kernel reset.
    assert!(
        matches!(
            events[..],
            [Event::StreamLost {
                reason: "tcp_reset",
                ..
            }]
        ),
        "{events:?}"
    );
}
