//! The text of messages, in and out.
use media::ws::message::{
    append_control, check_object, json_string, parse_ack, MediaFields, MediaTemplate,
};
use serde_json::Value;

/// Text of an endpoint; the same as a body, a name and a payload of ours.
pub fn stream_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(number) = parse_ack(&text) {
        let value = json(text.as_bytes());
        let nested = &value["ack"]["sequenceNumber"];
        let told = if nested.is_null() {
            &value["sequenceNumber"]
        } else {
            nested
        };
        assert_eq!(told.as_u64(), Some(number));
        assert_eq!(value["event"], "ack");
    }
    if check_object(data).is_ok() {
        control(data, &text);
    }
    media(data, &text);
}

fn json(text: &[u8]) -> Value {
    match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(text)),
    }
}

fn control(body: &[u8], text: &str) {
    let mut out = Vec::new();
    append_control(&mut out, "metadata", 7, &json_string(text), body);
    let message = json(&out);
    assert_eq!(message["streamId"], text);
    assert_eq!(message["metadata"], json(body));
    assert!(!text.contains('\0') || !out.contains(&0));
}

fn media(payload: &[u8], text: &str) {
    let template = MediaTemplate::new(text, 1, text);
    let fields = MediaFields {
        sequence: u64::MAX,
        chunk: payload.len() as u64,
        timestamp: u64::MAX,
        payload,
    };
    let mut out = Vec::new();
    template.append(&mut out, &fields);
    assert!(out.len() <= template.length_bound(payload.len()));
    let message = json(&out);
    assert_eq!(message["sequenceNumber"], u64::MAX);
    assert_eq!(message["media"]["participantId"], text);
    let sent = message["media"]["payload"].as_str().unwrap_or_default();
    assert_eq!(sent.len(), payload.len().div_ceil(3) * 4);
}
