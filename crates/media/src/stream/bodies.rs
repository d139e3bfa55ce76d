//! Bodies of the messages that the engine makes itself (protocol section 3).
use serde::Serialize;

use crate::events::ChannelTotals;
use crate::tap::Gap;

/// The time of a fact, and whose it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata<'a, T> {
    /// One of the protocol's types.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// RFC 3339.
    pub at: String,
    /// Samples since the stream's start.
    pub timestamp: u64,
    /// The participant it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participant_id: Option<&'a str>,
    /// What it says.
    pub data: T,
}

impl<T: Serialize> Metadata<'_, T> {
    /// The body as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and fixed keys can't fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// `media.gap`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GapData {
    channel: i32,
    from_timestamp: u64,
    samples: u64,
    cause: &'static str,
}

impl GapData {
    /// A gap of a channel.
    pub const fn new(channel: i32, gap: &Gap) -> Self {
        Self {
            channel,
            from_timestamp: gap.from,
            samples: gap.samples,
            cause: gap.cause.as_str(),
        }
    }
}

/// `stream.lag`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LagData {
    /// Audio not yet handed to the network.
    pub queued_ms: u64,
    /// Its bound.
    pub bound_ms: u64,
}

/// One channel of `stream.stats`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStats<'a> {
    /// The channel.
    pub channel: i32,
    /// Its participant.
    pub participant_id: &'a str,
    /// Packets received.
    pub packets_received: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Packets that came after a newer one.
    pub late: u64,
    /// Packets seen before.
    pub duplicate: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// Estimated opinion score; none before anything was received.
    pub mos: Option<f64>,
}

/// `stream.stats`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsData<'a> {
    /// Each channel.
    pub channels: Vec<ChannelStats<'a>>,
    /// Audio not yet handed to the network.
    pub queue_ms: u64,
    /// Round trip of the last ping; none before the first pong.
    pub rtt_ms: Option<f64>,
}

/// The body of `close` with its totals; `body` is a JSON object.
pub fn close_body(body: &[u8], totals: &[ChannelTotals]) -> Vec<u8> {
    let end = body
        .iter()
        .rposition(|&byte| byte == b'}')
        .unwrap_or_default();
    let mut whole = body[..end].to_vec();
    let is_empty = !whole.contains(&b':');
    whole.extend_from_slice(if is_empty {
        br#""totals":"#
    } else {
        br#","totals":"#
    });
    whole.extend_from_slice(&serde_json::to_vec(totals).unwrap_or_default());
    whole.push(b'}');
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::Cause;
    use crate::ws::message::check_object;

    #[test]
    fn a_gap_is_the_protocols_text() {
        let gap = Gap {
            from: 320,
            samples: 160,
            cause: Cause::Loss,
            ended: true,
        };
        let body = Metadata {
            kind: "media.gap",
            at: "2026-11-23T10:16:02.480Z".to_owned(),
            timestamp: 640,
            participant_id: Some("callee"),
            data: GapData::new(1, &gap),
        };
        assert_eq!(
            String::from_utf8(body.to_json()).unwrap(),
            r#"{"type":"media.gap","at":"2026-11-23T10:16:02.480Z","timestamp":640,"participantId":"callee","data":{"channel":1,"fromTimestamp":320,"samples":160,"cause":"loss"}}"#
        );
    }

    #[test]
    fn totals_are_added_to_any_object() {
        for body in [
            &b"{}"[..],
            b" { } ",
            br#"{"reason":"stopped"}"#,
            br#"{"detail":"a } b"} "#,
        ] {
            check_object(body).unwrap();
            let whole = close_body(body, &[]);
            let value: serde_json::Value = serde_json::from_slice(&whole).unwrap();
            assert_eq!(value["totals"], serde_json::json!([]), "{value}");
        }
    }
}
