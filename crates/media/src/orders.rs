//! The orders that carry structure, as JSON with camelCase keys (ADR 1). The same shapes are declared in
//! `src/sidestream/gateway/engine_messages.py`.
use std::net::{IpAddr, SocketAddr};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::Encoding;
use crate::error::{MediaError, Result};
use crate::srtp::SrtpKeys;
use crate::tap::{Layout, TapCodec};

/// An order larger than this is refused unread.
pub const MAX_ORDER_BYTES: usize = 1 << 20;
/// Formats that a leg can have agreed on; RTP has no more payload types.
const MAX_CODECS: usize = 128;

/// Reads an order's structure.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    if json.len() > MAX_ORDER_BYTES {
        return Err(MediaError::bad_spec("larger than 1 MiB"));
    }
    serde_json::from_slice(json).map_err(MediaError::bad_spec)
}

/// A leg of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The inbound leg: the caller's.
    A,
    /// The outbound leg: the callee's.
    B,
}

impl Side {
    /// Both legs.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The leg across.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for the caller's leg, 1 for the callee's.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How the engine runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineSpec {
    /// The address that the legs bind.
    pub address: IpAddr,
    /// First UDP port of the range.
    pub port_min: u16,
    /// Last UDP port of the range.
    pub port_max: u16,
    /// Worker threads; 0: one for each core.
    #[serde(default)]
    pub threads: usize,
    /// How long a bridged, unheld call may be without media; 0: for ever.
    #[serde(default)]
    pub media_timeout_ms: u64,
    /// How long a leg waits for the negotiated source.
    #[serde(default = "defaults::learning_ms")]
    pub learning_ms: u64,
    /// Streams that may live at once.
    #[serde(default = "defaults::max_streams")]
    pub max_streams: usize,
    /// The product's version, for diagnostics.
    #[serde(default)]
    pub version: String,
}

impl EngineSpec {
    /// Refuses an engine that could not run.
    pub fn validate(&self) -> Result<()> {
        if self.port_min < 1024 || self.port_max <= self.port_min {
            return Err(MediaError::bad_spec(
                "ports must be a range above 1023 of two ports at least",
            ));
        }
        if self.threads > 1024 {
            return Err(MediaError::bad_spec("threads must be 1024 at most"));
        }
        Ok(())
    }
}

/// Where a party wants its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteAddress {
    /// The party's address.
    pub host: IpAddr,
    /// Its port for RTP.
    pub rtp_port: u16,
    /// Its port for RTCP.
    pub rtcp_port: u16,
}

impl RemoteAddress {
    /// Where RTP goes.
    pub const fn rtp(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.rtp_port)
    }

    /// Where RTCP goes.
    pub const fn rtcp(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.rtcp_port)
    }

    /// Refuses what is no party's, and addresses of another family than `local`.
    pub fn validate(&self, local: IpAddr) -> Result<()> {
        if self.rtp_port == 0 || self.host.is_unspecified() || self.host.is_multicast() {
            return Err(MediaError::bad_spec(
                "the remote address is no unicast address",
            ));
        }
        if self.host.is_ipv4() != local.is_ipv4() {
            return Err(MediaError::bad_spec(
                "the remote address is of another family than the engine's",
            ));
        }
        Ok(())
    }
}

/// One format agreed on a leg.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegCodec {
    /// The encoding name of the `rtpmap`.
    pub name: String,
    /// Ticks of the RTP timestamp a second.
    pub clock_rate: u32,
    /// Audio channels.
    pub channels: u8,
    /// Payload type of packets that the party sends to us.
    pub local_pt: u8,
    /// Payload type of packets that we send to the party.
    pub remote_pt: u8,
}

impl LegCodec {
    /// What the taps make of it.
    pub fn tap_codec(&self) -> TapCodec {
        TapCodec::from_sdp(&self.name, self.clock_rate, self.channels)
    }

    /// Whether both are the same format, whatever its numbers.
    pub fn is_same_format(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(&other.name)
            && self.clock_rate == other.clock_rate
            && self.channels == other.channels
    }
}

/// What was agreed on a leg.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LegSpec {
    /// Which leg.
    pub side: Side,
    /// Where the party wants its media; none: nothing is sent to it.
    pub remote: Option<RemoteAddress>,
    /// The formats.
    pub codecs: Vec<LegCodec>,
    /// Milliseconds of audio in a packet.
    pub ptime_ms: u32,
    /// Silence of this leg is due to a hold.
    pub held: bool,
    /// The keys of SRTP; none: plain RTP.
    #[serde(default)]
    pub srtp: Option<SrtpKeys>,
}

impl LegSpec {
    /// Refuses what no session description can say, and addresses of another family than `local`.
    pub fn validate(&self, local: IpAddr) -> Result<()> {
        if self.codecs.len() > MAX_CODECS {
            return Err(MediaError::bad_spec("more than 128 codecs"));
        }
        let numbers_fit = |codec: &LegCodec| {
            codec.local_pt < 128 && codec.remote_pt < 128 && codec.clock_rate > 0
        };
        if !self.codecs.iter().all(numbers_fit) {
            return Err(MediaError::bad_spec(
                "payload types must be below 128 and clock rates above 0",
            ));
        }
        self.remote
            .as_ref()
            .map_or(Ok(()), |remote| remote.validate(local))
    }
}

/// One tapped side of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamChannel {
    /// The channel's number on the stream.
    pub channel: i32,
    /// The tapped side.
    pub side: Side,
    /// Who is heard on it.
    pub participant: String,
}

/// The shape and bounds of a stream. Sample 0 of every channel is at `start_ns`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamSpec {
    /// UUID of the stream.
    pub stream_id: String,
    /// Encoding of the payloads.
    pub encoding: Encoding,
    /// Samples a second of each channel.
    pub sample_rate: u32,
    /// Milliseconds of a frame.
    pub frame_ms: u32,
    /// How the channels are carried.
    pub layout: Layout,
    /// The tapped sides.
    pub channels: Vec<StreamChannel>,
    /// Wall clock of sample 0.
    pub started_at_unix_ms: u64,
    /// `CLOCK_MONOTONIC` of sample 0.
    pub start_ns: u64,
    /// How long a packet waits for an earlier one.
    #[serde(default = "defaults::jitter_window_ms")]
    pub jitter_window_ms: u32,
    /// How long frames are gathered for one write; 0: each goes at once.
    #[serde(default = "defaults::flush_ms")]
    pub flush_ms: u32,
    /// Bound of audio not yet handed to the network.
    #[serde(default = "defaults::queue_ms")]
    pub queue_ms: u32,
    /// Bound of audio kept for replay.
    #[serde(default = "defaults::replay_ms")]
    pub replay_ms: u32,
    /// How often the endpoint is pinged.
    #[serde(default = "defaults::ping_ms")]
    pub ping_ms: u32,
    /// Missed pongs that make a lost connection.
    #[serde(default = "defaults::missed_pongs")]
    pub missed_pongs: u32,
    /// How often `stream.stats` is sent.
    #[serde(default = "defaults::stats_ms")]
    pub stats_ms: u32,
}

/// One attempt to connect a stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectAttempt {
    /// Addresses to try in order.
    pub addresses: Vec<IpAddr>,
    /// TCP port.
    pub port: u16,
    /// Name for SNI and verification; none: no TLS.
    pub server_name: Option<String>,
    /// Trust anchors in place of the system's.
    pub ca_pem: Option<String>,
    /// The `Host` header.
    pub host_header: String,
    /// The request target: path and query.
    pub path: String,
    /// Further headers of the upgrade.
    pub headers: Vec<(String, String)>,
    /// The subprotocol asked for.
    pub subprotocol: String,
    /// Body of the `connect` message.
    pub connect: String,
    /// Body of the `start` message.
    pub start: String,
    /// Deadline of TCP, TLS and upgrade together.
    #[serde(default = "defaults::timeout_ms")]
    pub timeout_ms: u64,
}

/// What is assumed where an order is silent; the same as in `engine_messages.py`.
mod defaults {
    pub const fn learning_ms() -> u64 {
        1_000
    }
    pub const fn max_streams() -> usize {
        20_000
    }
    pub const fn jitter_window_ms() -> u32 {
        60
    }
    pub const fn flush_ms() -> u32 {
        20
    }
    pub const fn queue_ms() -> u32 {
        10_000
    }
    pub const fn replay_ms() -> u32 {
        10_000
    }
    pub const fn ping_ms() -> u32 {
        15_000
    }
    pub const fn missed_pongs() -> u32 {
        2
    }
    pub const fn stats_ms() -> u32 {
        10_000
    }
    pub const fn timeout_ms() -> u64 {
        5_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn engine(ports: (u16, u16)) -> Result<()> {
        let json = format!(
            r#"{{"address":"127.0.0.1","portMin":{},"portMax":{}}}"#,
            ports.0, ports.1
        );
        read::<EngineSpec>(json.as_bytes())?.validate()
    }

    #[test]
    fn an_engine_without_ports_is_refused() {
        assert!(engine((20_000, 20_001)).is_ok());
        for ports in [(20_000, 20_000), (80, 20_000), (30_000, 20_000)] {
            assert_eq!(engine(ports).unwrap_err().kind(), ErrorKind::BadSpec);
        }
    }

    #[test]
    fn a_leg_is_read_and_checked() {
        let leg = |host: &str, pt: u8| {
            let json = format!(
                r#"{{"side":"b","remote":{{"host":"{host}","rtpPort":4000,"rtcpPort":4001}},
                "codecs":[{{"name":"PCMU","clockRate":8000,"channels":1,"localPt":{pt},"remotePt":0}}],
                "ptimeMs":20,"held":false}}"#
            );
            read::<LegSpec>(json.as_bytes())
        };
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let good = leg("127.0.0.2", 0).unwrap();
        assert_eq!(good.side, Side::B);
        assert!(good.validate(local).is_ok());
        for (host, pt) in [
            ("0.0.0.0", 0),
            ("::1", 0),
            ("224.0.0.1", 0),
            ("127.0.0.1", 128),
        ] {
            assert!(
                leg(host, pt).unwrap().validate(local).is_err(),
                "{host} {pt}"
            );
        }
        assert!(leg("localhost", 0).is_err());
    }

    #[test]
    fn an_order_of_any_size_or_content_is_refused_without_harm() {
        assert!(read::<LegSpec>(&vec![b'['; MAX_ORDER_BYTES + 1]).is_err());
        assert!(read::<LegSpec>(&vec![b'['; 100_000]).is_err());
        assert!(read::<StreamSpec>(b"{}").is_err());
    }
}
