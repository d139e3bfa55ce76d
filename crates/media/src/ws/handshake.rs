//! The HTTP/1.1 upgrade (RFC 6455 section 4): the request, and the check of its answer.

use sha1::{Digest, Sha1};

/// The longest head of an answer, in bytes.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Header fields of an answer that are read at most.
const MAX_HEADERS: usize = 96;
/// What the server appends to the key (RFC 6455 section 1.3).
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Characters of a reason phrase that are told.
const PHRASE_TOLD: usize = 80;

/// What the request says.
#[derive(Debug, Clone, Copy)]
pub struct UpgradeRequest<'a> {
    /// The `Host` header.
    pub host: &'a str,
    /// The request target: path and query.
    pub path: &'a str,
    /// Further header fields.
    pub headers: &'a [(String, String)],
    /// The subprotocol offered; empty: none.
    pub subprotocol: &'a str,
}

/// Why an answer is no upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Another status than 101; redirects are among them, as they are never followed.
    Status(u16, String),
    /// It breaks RFC 6455 or HTTP.
    Protocol(String),
}

/// The `Sec-WebSocket-Key` made of a nonce (RFC 6455 section 4.1).
pub fn key_of(nonce: [u8; 16]) -> String {
    base64_simd::STANDARD.encode_to_string(nonce)
}

/// The `Sec-WebSocket-Accept` that belongs to a key (RFC 6455 section 4.2.2).
pub fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(ACCEPT_SUFFIX);
    base64_simd::STANDARD.encode_to_string(hash.finalize())
}

/// Writes the request.
///
/// # Errors
/// Names the part that has a character which would end the line or is no part of HTTP.
pub fn write_request(request: &UpgradeRequest<'_>, key: &str) -> Result<Vec<u8>, String> {
    let is_visible =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_visible(request.path) || !request.path.starts_with('/') {
        return Err("the path is no HTTP request target".to_owned());
    }
    if !is_visible(request.host) {
        return Err("the host is no HTTP field value".to_owned());
    }
    let mut text = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
        request.path, request.host
    );
    let own = ("Sec-WebSocket-Protocol", request.subprotocol);
    let own = (!request.subprotocol.is_empty()).then_some(own);
    let given = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in own.into_iter().chain(given) {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(format!("{name:?} is no HTTP field name"));
        }
        if value
            .bytes()
            .any(|byte| byte != b'\t' && byte.is_ascii_control())
        {
            return Err(format!("the value of {name} holds a control character"));
        }
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    Ok(text.into_bytes())
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Checks the answer to a request with this key and subprotocol: the length of its head, or nothing while it is
/// incomplete.
///
/// # Errors
/// The answer is no upgrade.
pub fn check_answer(bytes: &[u8], key: &str, subprotocol: &str) -> Result<Option<usize>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut fields);
    let parsed = answer.parse(bytes);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) => return refuse("the answer's head is too long"),
        Err(error) => return refuse(&format!("the answer is no HTTP: {error}")),
    };
    let status = answer.code.unwrap_or_default();
    if status != 101 {
        return Err(Refusal::Status(status, status_words(status, answer.reason)));
    }
    check_fields(answer.headers, key, subprotocol)
        .map_err(|words| Refusal::Protocol(words.to_owned()))?;
    Ok(Some(length))
}

fn refuse<T>(words: &str) -> Result<T, Refusal> {
    Err(Refusal::Protocol(words.to_owned()))
}

fn status_words(status: u16, phrase: Option<&str>) -> String {
    let phrase = phrase.unwrap_or_default().chars();
    let phrase: String = phrase
        .filter(|letter| !letter.is_control())
        .take(PHRASE_TOLD)
        .collect();
    let answered = format!("the endpoint answered {status} {phrase}");
    let answered = answered.trim_end();
    match status {
        300..=399 => format!("{answered}; redirects are not followed"),
        _ => answered.to_owned(),
    }
}

/// RFC 6455 section 4.1, the client's checks 2 to 6.
fn check_fields(
    fields: &[httparse::Header<'_>],
    key: &str,
    subprotocol: &str,
) -> Result<(), &'static str> {
    let values = |name: &'static str| {
        let named = fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| std::str::from_utf8(field.value).unwrap_or_default().trim())
    };
    let has_token = |name, token: &str| {
        let mut tokens = values(name).flat_map(|value| value.split(','));
        tokens.any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    if !has_token("Upgrade", "websocket") {
        return Err("the answer has no 'Upgrade: websocket'");
    }
    if !has_token("Connection", "Upgrade") {
        return Err("the answer has no 'Connection: Upgrade'");
    }
    let mut accepts = values("Sec-WebSocket-Accept");
    if accepts.next() != Some(accept_of(key).as_str()) || accepts.next().is_some() {
        return Err("the answer's Sec-WebSocket-Accept is wrong");
    }
    if values("Sec-WebSocket-Extensions").any(|value| !value.is_empty()) {
        return Err("the endpoint chose an extension that was not offered");
    }
    if values("Sec-WebSocket-Protocol").any(|value| value.is_empty() || value != subprotocol) {
        return Err("the endpoint chose a subprotocol that was not offered");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of RFC 6455 section 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn answer(extra: &str) -> Vec<u8> {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extra}\r\n"
        )
        .into_bytes()
    }

    fn check(bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        check_answer(bytes, KEY, "sidestream.v1")
    }

    fn request(path: &str, headers: &[(String, String)]) -> Result<Vec<u8>, String> {
        let request = UpgradeRequest {
            host: "h:1",
            path,
            headers,
            subprotocol: "sidestream.v1",
        };
        write_request(&request, KEY)
    }

    #[test]
    fn the_request_is_the_rfcs() {
        let headers = [("Authorization".to_owned(), "Bearer é".to_owned())];
        let text = String::from_utf8(request("/calls?a=b", &headers).unwrap()).unwrap();
        assert_eq!(
            text,
            "GET /calls?a=b HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: sidestream.v1\r\nAuthorization: Bearer é\r\n\r\n"
        );
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_request() {
        let header = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
        assert!(request("/a b", &[]).is_err());
        assert!(request("a", &[]).is_err());
        assert!(request("/a\r\nX: y", &[]).is_err());
        assert!(request("/", &header("X-A", "b\r\nX-B: c")).is_err());
        assert!(request("/", &header("X A", "b")).is_err());
        assert!(request("/", &header("", "b")).is_err());
        assert!(request("/", &header("X-A", "b\tc")).is_ok());
    }

    #[test]
    fn a_proper_answer_is_taken_and_what_follows_is_left() {
        for extra in ["", "Sec-WebSocket-Protocol: sidestream.v1\r\n"] {
            let mut bytes = answer(extra);
            let head = bytes.len();
            bytes.extend_from_slice(b"\x81\x00");
            assert_eq!(check(&bytes), Ok(Some(head)));
            assert_eq!(check(&bytes[..head - 1]), Ok(None));
        }
    }

    #[test]
    fn other_statuses_are_told_with_their_words() {
        let words = "the endpoint answered 401 Unauthorized".to_owned();
        assert_eq!(
            check(b"HTTP/1.1 401 Unauthorized\r\n\r\n"),
            Err(Refusal::Status(401, words))
        );
        let moved = check(b"HTTP/1.1 302 Found\r\nLocation: wss://other.example/\r\n\r\n");
        assert!(
            matches!(moved, Err(Refusal::Status(302, words)) if words.ends_with("not followed"))
        );
    }

    #[test]
    fn improper_answers_are_refused() {
        let refused = |bytes: &[u8]| assert!(matches!(check(bytes), Err(Refusal::Protocol(_))));
        refused(b"SSH-2.0-OpenSSH\r\n");
        refused(&answer("Sec-WebSocket-Protocol: other\r\n"));
        refused(&answer("Sec-WebSocket-Extensions: permessage-deflate\r\n"));
        refused(&answer(
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        ));
        let text = String::from_utf8(answer("")).unwrap();
        refused(text.replace("s3p", "s4p").as_bytes());
        refused(text.replace("Upgrade\r\n", "close\r\n").as_bytes());
        refused(text.replace("WebSocket\r\n", "h2c\r\n").as_bytes());
        let long = format!("HTTP/1.1 101 S\r\nX: {}", "y".repeat(MAX_HEAD_BYTES));
        refused(long.as_bytes());
    }

    proptest! {
        #[test]
        fn any_answer_is_judged_without_harm(bytes: Vec<u8>, split in 0..400_usize) {
            let _ = check(&bytes);
            let mut mutated = answer("");
            let at = split.min(mutated.len());
            mutated.splice(at..at, bytes.iter().copied());
            let _ = check(&mutated);
        }
    }
}
