//! The orders of the upper layer, as JSON: refused, or good for what they order.
use std::net::{IpAddr, Ipv4Addr};

use media::formats::FormatTable;
use media::orders::{read, ConnectAttempt, EngineSpec, LegSpec, StreamSpec};
use media::tap::{ChannelSpec, StreamTap};
use media::ws::handshake::{write_request, UpgradeRequest};

/// The first byte says which order.
pub fn orders(data: &[u8]) {
    let Some((kind, json)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => engine(json),
        1 => leg(json),
        2 => stream(json),
        _ => connect(json),
    }
}

fn engine(json: &[u8]) {
    if let Ok(spec) = read::<EngineSpec>(json) {
        if spec.validate().is_ok() {
            assert!(spec.port_min >= 1024 && spec.port_min < spec.port_max);
        }
    }
}

fn leg(json: &[u8]) {
    let Ok(spec) = read::<LegSpec>(json) else {
        return;
    };
    if spec.validate(IpAddr::V4(Ipv4Addr::LOCALHOST)).is_ok() {
        let mut table = FormatTable::new(&spec.codecs, &spec.codecs);
        for codec in &spec.codecs {
            assert!(table.get(codec.local_pt).relay_as.is_some());
        }
    }
}

fn stream(json: &[u8]) {
    let Ok(spec) = read::<StreamSpec>(json) else {
        return;
    };
    let channels = spec.channels.into_iter().map(|channel| ChannelSpec {
        channel: channel.channel,
        participant: channel.participant,
    });
    let shape = media::tap::StreamSpec {
        encoding: spec.encoding,
        sample_rate: spec.sample_rate,
        frame_ms: spec.frame_ms,
        layout: spec.layout,
        jitter_window_ms: spec.jitter_window_ms,
        channels: channels.collect(),
    };
    if let Ok(tap) = StreamTap::new(shape, spec.start_ns) {
        assert!(tap.spec().frame_samples() > 0);
        assert!(tap.next_due() >= spec.start_ns);
    }
}

fn connect(json: &[u8]) {
    let Ok(attempt) = read::<ConnectAttempt>(json) else {
        return;
    };
    let request = UpgradeRequest {
        host: &attempt.host_header,
        path: &attempt.path,
        headers: &attempt.headers,
        subprotocol: &attempt.subprotocol,
    };
    if let Ok(written) = write_request(&request, "dGhlIHNhbXBsZSBub25jZQ==") {
        assert!(written.ends_with(b"\r\n\r\n"));
    }
}
