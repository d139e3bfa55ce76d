//! Streams from their first connection to their end, against an endpoint that is not ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod endpoint;

use std::io::Write;
use std::time::Duration;

use endpoint::{
    check_accounts, gaps, next, numbers, of_event, read_all, read_until, Authority, Endpoint, Flaw,
    Json, Rig,
};
use media::clock::{MILLISECOND, SECOND};
use media::events::Event;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::CloseFrame;
use tungstenite::Message;

fn is_number(number: u64) -> impl Fn(&Json) -> bool {
    move |message| message["sequenceNumber"] == number
}

fn ack(number: u64) -> Message {
    Message::text(format!(
        r#"{{"event":"ack","ack":{{"sequenceNumber":{number}}}}}"#
    ))
}

#[test]
fn a_whole_life_over_tls() {
    let authority = Authority::new("test");
    let endpoint = Endpoint::new(Some(authority.server(&Flaw::default())));
    let server = endpoint.serve(read_all);
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(Some(&authority)));
    let connected = rig.events.remove(0);
    let Event::StreamConnected {
        stream: 9,
        address,
        tls_version,
        ..
    } = connected
    else {
        panic!("{connected:?}");
    };
    assert_eq!(
        (address, tls_version.as_str()),
        (endpoint.address().to_string(), "TLSv1.3")
    );
    rig.play(50);
    let body = br#"{"type":"call.answered","data":{}}"#;
    rig.stream.send_control("metadata", body, rig.now).unwrap();
    let closed = rig.close();
    let (messages, code) = server.join().unwrap();
    assert_eq!(
        (code, closed.close_code, closed.close_sent),
        (Some(1000), Some(1000), true)
    );
    assert_eq!(
        numbers(&messages),
        (1..=closed.messages).collect::<Vec<_>>()
    );
    let events: Vec<&str> = messages
        .iter()
        .map(|message| message["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        (&events[..2], *events.last().unwrap()),
        (&["connect", "start"][..], "close")
    );
    assert!(messages
        .iter()
        .all(|message| message["streamId"] == "0192-stream"));
    assert_eq!(messages[1]["start"]["callId"], "c");
    assert_eq!(
        of_event(&messages, "metadata")[0]["metadata"]["type"],
        "call.answered"
    );
    assert_eq!(of_event(&messages, "media").len(), 2 * 50);
    check_accounts(&messages, &closed.totals);
    let close = &messages.last().unwrap()["close"];
    assert_eq!(
        (&close["reason"], &close["totals"]),
        (&"call-ended".into(), &closed.totals)
    );
    assert!(closed.gap_samples.is_empty(), "{:?}", closed.gap_samples);
}

#[test]
fn without_acknowledgements_a_new_connection_goes_on_after_what_was_handed_over() {
    let endpoint = Endpoint::new(None);
    let first = endpoint.serve(|peer| read_until(peer, is_number(12)));
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(None));
    rig.play(5);
    let mut messages = first.join().unwrap();
    assert_eq!(rig.lost().0, "tcp_closed");
    rig.play(5);
    let second = endpoint.serve(read_all);
    rig.connect(endpoint.attempt(None));
    let closed = rig.close();
    let (rest, _) = second.join().unwrap();
    assert_eq!(numbers(&rest)[..2], [23, 24]);
    assert_eq!(numbers(&rest)[2..12], (13..23).collect::<Vec<_>>());
    messages.extend(rest);
    check_accounts(&messages, &closed.totals);
    assert_eq!(closed.gap_samples.get("reconnect"), None);
}

#[test]
fn an_acknowledging_endpoint_gets_the_rest_again_with_its_numbers() {
    let authority = Authority::new("test");
    let endpoint = Endpoint::new(Some(authority.server(&Flaw::default())));
    let first = endpoint.serve(|peer| {
        let messages = read_until(peer, is_number(12));
        peer.send(ack(6)).unwrap();
        // A mark that the acknowledgement has come before the connection breaks.
        peer.send(Message::text(r#"{"event":"mark"}"#)).unwrap();
        messages
    });
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(Some(&authority)));
    rig.play(5);
    first.join().unwrap();
    rig.wait_for("the mark", |event| {
        matches!(event, Event::StreamText { .. })
    });
    rig.lost();
    rig.play(2);
    let second = endpoint.serve(read_all);
    rig.connect(endpoint.attempt(Some(&authority)));
    let closed = rig.close();
    let (messages, _) = second.join().unwrap();
    let (connect, start) = (&messages[0], &messages[1]);
    assert_eq!(
        (&connect["event"], &start["event"]),
        (&"connect".into(), &"start".into())
    );
    assert_eq!(numbers(&messages)[..2], [17, 18]);
    assert_eq!(numbers(&messages)[2..12], (7..17).collect::<Vec<_>>());
    assert_eq!(messages.last().unwrap()["close"]["totals"], closed.totals);
    assert_eq!(
        closed.totals[0]["chunks"], 7,
        "each message once, however often it was sent"
    );
}

#[test]
fn what_the_replay_buffer_no_longer_holds_is_one_gap_of_each_channel() {
    let endpoint = Endpoint::new(None);
    let first = endpoint.serve(|peer| {
        read_until(peer, is_number(4));
        peer.send(ack(4)).unwrap();
        read_until(peer, is_number(44));
    });
    let mut rig = Rig::new(|spec| spec.replay_ms = 200);
    rig.connect(endpoint.attempt(None));
    rig.play(1);
    rig.serve_until("the acknowledgement", |_| true);
    std::thread::sleep(Duration::from_millis(50));
    rig.turn(Duration::from_millis(100));
    rig.play(20);
    first.join().unwrap();
    rig.lost();
    let second = endpoint.serve(read_all);
    rig.connect(endpoint.attempt(None));
    let closed = rig.close();
    let (messages, _) = second.join().unwrap();
    // Frames 2 to 11 of each channel are neither acknowledged nor among the last 200 ms.
    assert_eq!(
        gaps(&messages, "reconnect"),
        [(0, 160, 10 * 160), (1, 160, 10 * 160)]
    );
    assert_eq!(of_event(&messages, "media").len(), 20);
    assert_eq!(closed.totals[0]["chunks"], 21);
    assert_eq!(closed.totals[0]["droppedSamples"], 0);
    assert_eq!(closed.gap_samples["reconnect"], 2 * 10 * 160);
}

#[test]
fn what_found_no_connection_in_time_is_dropped_and_told() {
    let endpoint = Endpoint::new(None);
    let mut rig = Rig::new(|spec| spec.queue_ms = 400);
    rig.play(100);
    let server = endpoint.serve(read_all);
    rig.connect(endpoint.attempt(None));
    let closed = rig.close();
    let (messages, _) = server.join().unwrap();
    check_accounts(&messages, &closed.totals);
    for channel in [0, 1] {
        let told = gaps(&messages, "reconnect");
        let of_channel = told.iter().filter(|gap| gap.0 == channel);
        let samples: u64 = of_channel.map(|gap| gap.2).sum();
        assert_eq!(closed.totals[channel as usize]["droppedSamples"], samples);
        let sent = closed.totals[channel as usize]["samples"].as_u64().unwrap();
        assert_eq!(sent + samples, 16_000);
    }
    assert_eq!(closed.max_queue_ms, 400);
    let lags: Vec<_> = messages
        .iter()
        .filter(|message| message["metadata"]["type"] == "stream.lag")
        .collect();
    assert_eq!(lags[0]["metadata"]["data"]["boundMs"], 400);
    assert_eq!(lags.len(), 3, "a quarter, half and three quarters");
}

#[test]
fn an_endpoint_that_reads_nothing_costs_its_own_audio_only() {
    let authority = Authority::new("test");
    let endpoint = Endpoint::new(Some(authority.server(&Flaw::default())));
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = endpoint.serve(move |peer| {
        let size = 64 * 1024;
        socket2::SockRef::from(peer.get_ref().socket())
            .set_recv_buffer_size(size)
            .unwrap();
        gone.recv().unwrap();
        read_all(peer)
    });
    // Its pongs would be missed long before.
    let mut rig = Rig::new(|spec| (spec.queue_ms, spec.ping_ms) = (2_000, 10_000_000));
    rig.connect(endpoint.attempt(Some(&authority)));
    let mut longest = 0;
    for _ in 0..60 {
        let begun = std::time::Instant::now();
        rig.play(500);
        longest = longest.max(begun.elapsed().as_millis());
    }
    assert!(rig.stream.wants_write(), "the network takes no more");
    assert!(
        longest < 5_000,
        "the stream waited for the endpoint: {longest} ms"
    );
    go.send(()).unwrap();
    let closed = rig.close();
    let (messages, code) = server.join().unwrap();
    assert_eq!((code, closed.close_sent), (Some(1000), true));
    check_accounts(&messages, &closed.totals);
    assert_eq!(closed.max_queue_ms, 2_000);
    for channel in [0, 1] {
        let told = gaps(&messages, "overflow");
        let samples: u64 = told
            .iter()
            .filter(|gap| gap.0 == channel)
            .map(|gap| gap.2)
            .sum();
        let total = &closed.totals[channel as usize];
        assert!(samples > 0);
        assert_eq!(total["droppedSamples"], samples);
        assert_eq!(total["samples"].as_u64().unwrap() + samples, 30_000 * 160);
    }
    // Every hole in the numbers is media that a gap explains.
    let holes = closed.messages - messages.len() as u64;
    assert_eq!(holes * 160, closed.gap_samples["overflow"]);
}

#[test]
fn unanswered_pings_are_a_lost_connection_and_answered_ones_a_round_trip() {
    let endpoint = Endpoint::new(None);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = endpoint.serve(move |_| gone.recv());
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(None));
    rig.advance(44 * SECOND);
    assert_eq!(rig.events.len(), 1, "{:?}", rig.events);
    rig.advance(2 * SECOND);
    assert_eq!(rig.lost().0, "pong_timeout");
    go.send(()).unwrap();
    server.join().unwrap().unwrap();

    let server = endpoint.serve(read_all);
    let mut rig = Rig::new(|spec| (spec.ping_ms, spec.stats_ms) = (100, 1000));
    rig.connect(endpoint.attempt(None));
    for _ in 0..12 {
        rig.play(5);
        std::thread::sleep(Duration::from_millis(10));
        rig.turn(Duration::from_millis(100));
    }
    assert!(rig.stream.fd().is_some(), "{:?}", rig.events);
    rig.close();
    let (messages, _) = server.join().unwrap();
    let stats = messages
        .iter()
        .find(|message| message["metadata"]["type"] == "stream.stats")
        .unwrap();
    let data = &stats["metadata"]["data"];
    assert!(data["rttMs"].is_number(), "{data}");
    assert_eq!(data["channels"][1]["participantId"], "callee");
}

#[test]
fn the_endpoints_close_is_echoed_and_told() {
    let endpoint = Endpoint::new(None);
    for (code, reason) in [(CloseCode::Normal, ""), (CloseCode::Restart, "deploy")] {
        let server = endpoint.serve(move |peer| {
            read_until(peer, is_number(4));
            peer.close(Some(CloseFrame {
                code,
                reason: reason.into(),
            }))
            .unwrap();
            read_all(peer).1
        });
        let mut rig = Rig::new(|_| {});
        rig.connect(endpoint.attempt(None));
        rig.play(1);
        let (lost, detail, told) = rig.lost();
        assert_eq!((lost, told), ("closed_by_endpoint", Some(u16::from(code))));
        assert!(detail.ends_with(reason), "{detail}");
        assert_eq!(server.join().unwrap(), Some(code.into()), "the echo");
    }
}

#[test]
fn what_breaks_the_protocol_is_answered_with_the_right_code() {
    let endpoint = Endpoint::new(None);
    let flood = [0x81, 4, b'{', b'}', b' ', b' '].repeat(500);
    let oversized: Vec<u8> = [&[0x81, 127][..], &(1_u64 << 20).to_be_bytes()].concat();
    let cases: [(&[u8], u16); 6] = [
        (&[0x82, 1, 0], 1003),
        (&[0x81, 1, 0xFF], 1007),
        (&oversized, 1009),
        (&[0xC1, 0], 1002),
        (&[0x81, 0x80, 0, 0, 0, 0], 1002),
        (&flood, 1008),
    ];
    for (bytes, code) in cases {
        let bytes = bytes.to_vec();
        let server = endpoint.serve(move |peer| {
            read_until(peer, is_number(2));
            peer.get_mut().write_all(&bytes).unwrap();
            read_all(peer).1
        });
        let mut rig = Rig::new(|_| {});
        rig.connect(endpoint.attempt(None));
        assert_eq!(rig.lost().0, "protocol_error");
        assert_eq!(server.join().unwrap(), Some(code));
    }
}

#[test]
fn fragments_with_control_frames_between_are_one_text() {
    let endpoint = Endpoint::new(None);
    let server = endpoint.serve(|peer| {
        read_until(peer, is_number(2));
        let bytes = b"\x01\x05{\"eve\x89\x02hi\x00\x06nt\":\"p\x80\x06ause\"}";
        peer.get_mut().write_all(bytes).unwrap();
        let pong = peer.read().unwrap();
        (pong, read_all(peer).1)
    });
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(None));
    let event = rig.wait_for("the text", |event| {
        matches!(event, Event::StreamText { .. })
    });
    assert_eq!(
        event,
        Event::StreamText {
            stream: 9,
            text: r#"{"event":"pause"}"#.to_owned()
        }
    );
    rig.close();
    let (pong, code) = server.join().unwrap();
    assert_eq!((pong, code), (Message::Pong("hi".into()), Some(1000)));
}

#[test]
fn a_stream_told_to_close_without_a_connection_is_drained_when_one_comes() {
    let endpoint = Endpoint::new(None);
    let mut rig = Rig::new(|_| {});
    rig.play(10);
    rig.stream.close(b"{}", 1001, 5000, rig.now).unwrap();
    rig.advance(20 * SECOND);
    assert!(!rig.stream.is_finished());
    let server = endpoint.serve(read_all);
    rig.connect(endpoint.attempt(None));
    let closed = rig.closed();
    let (messages, code) = server.join().unwrap();
    assert_eq!(
        (code, closed.close_code, closed.close_sent),
        (Some(1001), Some(1001), true)
    );
    check_accounts(&messages, &closed.totals);
    assert_eq!(of_event(&messages, "media").len(), 20);
}

#[test]
fn draining_and_the_endpoints_close_have_their_deadlines() {
    let endpoint = Endpoint::new(None);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = endpoint.serve(move |peer| {
        let messages = read_until(peer, |message| message["event"] == "close");
        gone.recv().unwrap();
        messages
    });
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(None));
    rig.play(5);
    rig.stream.close(b"{}", 1000, 60_000, rig.now).unwrap();
    rig.advance(1_900 * MILLISECOND);
    assert!(!rig.stream.is_finished());
    rig.advance(200 * MILLISECOND);
    let closed = rig.closed();
    assert_eq!((closed.close_sent, closed.close_code), (true, None));
    go.send(()).unwrap();
    server.join().unwrap();

    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = endpoint.serve(move |peer| {
        let socket = socket2::SockRef::from(peer.get_ref().socket());
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        gone.recv().unwrap();
    });
    let mut rig = Rig::new(|spec| spec.ping_ms = 10_000_000);
    rig.connect(endpoint.attempt(None));
    rig.play(2_000);
    rig.stream.close(b"{}", 1000, 3_000, rig.now).unwrap();
    rig.advance(2_900 * MILLISECOND);
    assert!(!rig.stream.is_finished());
    rig.advance(200 * MILLISECOND);
    assert!(!rig.closed().close_sent);
    go.send(()).unwrap();
    server.join().unwrap();
}

/// The worker asks again as long as a time has passed: a ping that is due and never sent would keep it for ever.
#[test]
fn a_ping_that_comes_due_while_the_endpoints_close_is_awaited_is_let_be() {
    let endpoint = Endpoint::new(None);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = endpoint.serve(move |peer| {
        read_until(peer, |message| message["event"] == "close");
        gone.recv().unwrap();
    });
    let mut rig = Rig::new(|spec| spec.ping_ms = 500);
    rig.connect(endpoint.attempt(None));
    rig.play(5);
    rig.stream.close(b"{}", 1000, 60_000, rig.now).unwrap();
    rig.advance(1_000 * MILLISECOND);
    assert!(!rig.stream.is_finished());
    assert!(rig.stream.next_due() > rig.now);
    rig.advance(1_100 * MILLISECOND);
    assert!(rig.closed().close_sent);
    go.send(()).unwrap();
    server.join().unwrap();
}

#[test]
fn an_aborted_stream_says_goodbye_and_is_over_at_once() {
    let endpoint = Endpoint::new(None);
    let server = endpoint.serve(read_all);
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(None));
    rig.play(2);
    rig.stream.abort(rig.now, &mut rig.events);
    assert!(!rig.closed().close_sent);
    let (messages, code) = server.join().unwrap();
    assert_eq!((code, messages.len()), (Some(1001), 6));
}

#[test]
fn a_pause_stops_the_media_and_its_gap_is_told() {
    let endpoint = Endpoint::new(None);
    let server = endpoint.serve(|peer| {
        let mut messages = vec![];
        messages.extend(next(peer));
        let (rest, _) = read_all(peer);
        messages.extend(rest);
        messages
    });
    let mut rig = Rig::new(|_| {});
    rig.connect(endpoint.attempt(None));
    rig.play(5);
    rig.stream.pause(true, rig.now);
    rig.play(20);
    rig.stream.pause(false, rig.now);
    rig.play(5);
    let closed = rig.close();
    let messages = server.join().unwrap();
    check_accounts(&messages, &closed.totals);
    let paused: u64 = gaps(&messages, "paused").iter().map(|gap| gap.2).sum();
    assert_eq!(closed.gap_samples["paused"], paused);
    assert!((2 * 19 * 160..=2 * 21 * 160).contains(&paused), "{paused}");
}
