//! The answer to an upgrade, and the request that can be written.
use media::ws::handshake::{check_answer, write_request, Refusal, UpgradeRequest, MAX_HEAD_BYTES};

/// The key of RFC 6455 section 1.3, whose accept value is in the corpus.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Bytes that an endpoint answers; the same bytes as path, host and header of a request.
pub fn ws_handshake(data: &[u8]) {
    match check_answer(data, KEY, "sidestream.v1") {
        Ok(Some(length)) => {
            assert!((1..=data.len()).contains(&length));
            // Whatever follows the head changes nothing, and no part of it is enough.
            let mut longer = data.to_vec();
            longer.extend_from_slice(b"\x81\x00");
            assert_eq!(
                check_answer(&longer, KEY, "sidestream.v1"),
                Ok(Some(length))
            );
            let shorter = &data[..length - 1];
            assert!(!matches!(
                check_answer(shorter, KEY, "sidestream.v1"),
                Ok(Some(_))
            ));
        }
        Ok(None) => assert!(data.len() < MAX_HEAD_BYTES),
        Err(Refusal::Status(status, words)) => {
            assert!(status != 101);
            assert!(!words.contains(['\r', '\n']));
        }
        Err(Refusal::Protocol(words)) => assert!(!words.contains(['\r', '\n'])),
    }
    write(&String::from_utf8_lossy(data));
}

fn write(text: &str) {
    let mut parts = text.splitn(4, '\n').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let (host, path) = (part(), part());
    let headers = [(part(), part())];
    let request = UpgradeRequest {
        host: &host,
        path: &path,
        headers: &headers,
        subprotocol: "sidestream.v1",
    };
    let Ok(written) = write_request(&request, KEY) else {
        return;
    };
    let head = String::from_utf8_lossy(&written).into_owned();
    let lines: Vec<_> = head.split("\r\n").collect();
    // A request line, seven fields and the end: nothing given can add a line.
    assert_eq!(lines.len(), 10, "{head:?}");
    assert!(lines[0].starts_with("GET /") && lines[0].ends_with(" HTTP/1.1"));
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']));
}
