//! The text of messages: the envelope of every message that leaves, and the one that is understood here, `ack`.
//!
//! `{"event":"<event>","sequenceNumber":N,"streamId":"…","<event>":<body>}`. Bodies of control messages arrive as JSON
//! text and are passed on as they are; `media` is written from a template prepared once per channel.

use serde::Deserialize;

use crate::error::{MediaError, Result};

/// The largest body of one message, in bytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The fields of one media message that differ from frame to frame.
#[derive(Debug, Clone, Copy)]
pub struct MediaFields<'a> {
    /// Number of the message in its stream.
    pub sequence: u64,
    /// Number of the media message in its channel, from 1.
    pub chunk: u64,
    /// Position of the first sample on the channel's clock, in samples.
    pub timestamp: u64,
    /// Headerless audio of one frame.
    pub payload: &'a [u8],
}

/// The constant text of one channel's media messages.
#[derive(Debug)]
pub struct MediaTemplate {
    middle: Box<[u8]>,
}

impl MediaTemplate {
    /// Prepares the text between the sequence number and the chunk number.
    pub fn new(stream_id: &str, channel: i32, participant_id: &str) -> Self {
        let middle = format!(
            r#","streamId":{},"media":{{"channel":{channel},"participantId":{},"chunk":"#,
            json_string(stream_id),
            json_string(participant_id),
        );
        Self {
            middle: middle.into_bytes().into_boxed_slice(),
        }
    }

    /// Appends one media message. Allocates nothing once `out` has its usual size.
    pub fn append(&self, out: &mut Vec<u8>, fields: &MediaFields<'_>) {
        out.extend_from_slice(br#"{"event":"media","sequenceNumber":"#);
        append_number(out, fields.sequence);
        out.extend_from_slice(&self.middle);
        append_number(out, fields.chunk);
        out.extend_from_slice(br#","timestamp":"#);
        append_number(out, fields.timestamp);
        out.extend_from_slice(br#","payload":""#);
        base64_simd::STANDARD.encode_append(fields.payload, out);
        out.extend_from_slice(br#""}}"#);
    }

    /// An upper bound of the length of a message with so many payload bytes.
    pub fn length_bound(&self, payload_bytes: usize) -> usize {
        // 34 + 13 + 12 + 3 bytes of fixed text, three numbers of at most 20 digits.
        self.middle.len() + 62 + 60 + payload_bytes.div_ceil(3) * 4
    }
}

/// Appends a control message: `body` is the JSON object under the event's key, already serialised.
pub fn append_control(
    out: &mut Vec<u8>,
    event: &str,
    sequence: u64,
    stream_id_json: &str,
    body: &[u8],
) {
    let event_json = json_string(event);
    out.extend_from_slice(br#"{"event":"#);
    out.extend_from_slice(event_json.as_bytes());
    out.extend_from_slice(br#","sequenceNumber":"#);
    append_number(out, sequence);
    out.extend_from_slice(br#","streamId":"#);
    out.extend_from_slice(stream_id_json.as_bytes());
    out.push(b',');
    out.extend_from_slice(event_json.as_bytes());
    out.push(b':');
    out.extend_from_slice(body);
    out.push(b'}');
}

/// Checks that a body ordered from outside is one JSON object of a bounded size.
pub fn check_object(body: &[u8]) -> Result<()> {
    if body.len() > MAX_BODY_BYTES {
        return Err(MediaError::bad_spec("a message's body is too large"));
    }
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(MediaError::bad_spec)?;
    drop(object);
    Ok(())
}

/// Text as a JSON string, with its quotes.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Appends a number in decimal.
fn append_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[derive(Deserialize)]
struct AckBody {
    #[serde(rename = "sequenceNumber")]
    sequence_number: u64,
}

#[derive(Deserialize)]
struct AckMessage {
    event: String,
    ack: Option<AckBody>,
    #[serde(rename = "sequenceNumber")]
    sequence_number: Option<u64>,
}

/// The number in an `ack`, when `text` is a well-formed one.
///
/// Both `{"event":"ack","ack":{"sequenceNumber":n}}` and `{"event":"ack","sequenceNumber":n}` are understood; the nested
/// one wins. Anything else, a negative or fractional number included, is `None` and belongs to the upper layer.
pub fn parse_ack(text: &str) -> Option<u64> {
    if !text.contains("ack") {
        return None;
    }
    let message: AckMessage = serde_json::from_str(text).ok()?;
    if message.event != "ack" {
        return None;
    }
    message
        .ack
        .map(|body| body.sequence_number)
        .or(message.sequence_number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_media_message_is_the_protocols_text() {
        let template = MediaTemplate::new("0192", 0, "caller");
        let mut out = Vec::new();
        let fields = MediaFields {
            sequence: 7,
            chunk: 3,
            timestamp: 320,
            payload: b"\xFF\x00\x7F\x80",
        };
        template.append(&mut out, &fields);
        let text = std::str::from_utf8(&out).unwrap();
        assert_eq!(
            text,
            r#"{"event":"media","sequenceNumber":7,"streamId":"0192","media":{"channel":0,"participantId":"caller","chunk":3,"timestamp":320,"payload":"/wB/gA=="}}"#
        );
        assert!(out.len() <= template.length_bound(4));
    }

    #[test]
    fn a_control_message_is_the_envelope_around_its_body() {
        let mut out = Vec::new();
        append_control(&mut out, "dtmf", 41, "\"0192\"", br#"{"digit":"5"}"#);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            r#"{"event":"dtmf","sequenceNumber":41,"streamId":"0192","dtmf":{"digit":"5"}}"#
        );
    }

    #[test]
    fn only_objects_are_bodies() {
        for body in [&b"[]"[..], b"{", b"1", b"", b"{}{}", b"{\"a\":\xFF}"] {
            assert!(check_object(body).is_err());
        }
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BODY_BYTES));
        assert!(check_object(large.as_bytes()).is_err());
    }
    #[test]
    fn acks_in_both_forms() {
        assert_eq!(parse_ack(r#"{"event":"ack","sequenceNumber":5}"#), Some(5));
        assert_eq!(
            parse_ack(r#"{"event":"ack","ack":{"sequenceNumber":6}}"#),
            Some(6)
        );
        assert_eq!(
            parse_ack(
                r#"{"extra":[1],"event":"ack","sequenceNumber":1,"ack":{"sequenceNumber":6,"x":0}}"#
            ),
            Some(6)
        );
    }

    #[test]
    fn what_is_no_ack_is_left_to_the_upper_layer() {
        for text in [
            "",
            "ack",
            r#"{"event":"pause"}"#,
            r#"{"event":"mark","mark":{"name":"ack"}}"#,
            r#"{"event":"ack"}"#,
            r#"{"event":"ack","sequenceNumber":-1}"#,
            r#"{"event":"ack","sequenceNumber":1.5}"#,
            r#"{"event":"ack","sequenceNumber":"7"}"#,
            r#"{"event":"ack","ack":{"sequenceNumber":true}}"#,
            r#"{"event":"ack","ack":{"sequenceNumber":18446744073709551616}}"#,
            r#"["ack"]"#,
        ] {
            assert_eq!(parse_ack(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_media_message_is_valid_json(
            sequence: u64, chunk: u64, timestamp: u64, payload: Vec<u8>,
            id in "\\PC{0,12}", participant in "\\PC{0,12}", channel in -1..2_i32,
        ) {
            let template = MediaTemplate::new(&id, channel, &participant);
            let mut out = Vec::new();
            template.append(&mut out, &MediaFields { sequence, chunk, timestamp, payload: &payload });
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["sequenceNumber"], sequence);
            prop_assert_eq!(&value["streamId"], &id);
            prop_assert_eq!(&value["media"]["participantId"], &participant);
            prop_assert_eq!(&value["media"]["chunk"], chunk);
            prop_assert_eq!(&value["media"]["timestamp"], timestamp);
            let text = value["media"]["payload"].as_str().unwrap();
            prop_assert_eq!(base64_simd::STANDARD.decode_to_vec(text).unwrap(), payload.clone());
            prop_assert!(out.len() <= template.length_bound(payload.len()));
        }

        #[test]
        fn ack_parsing_never_panics(text in "\\PC{0,80}") {
            parse_ack(&text);
        }
    }
}
