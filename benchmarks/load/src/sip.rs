//! Reading and answering SIP messages as text, as far as the parties of the benchmark need it.
use std::fmt::Write;
use std::net::SocketAddrV4;

/// A response that copies what RFC 3261 section 8.2.6 names; a body is an SDP.
pub fn response(request: &str, status: &str, contact: &str, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    for line in head.split("\r\n").skip(1) {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        match name.as_str() {
            "to" if !line.contains("tag=") => {
                text.push_str(line);
                text.push_str(";tag=callee\r\n");
            }
            "via" | "from" | "to" | "call-id" | "cseq" | "record-route" => {
                text.push_str(line);
                text.push_str("\r\n");
            }
            _ => {}
        }
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "Contact: <{contact}>\r\n");
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// The value of the first header of that name.
pub fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split("\r\n")
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
}

/// The URI of the Contact.
pub fn contact(text: &str) -> Option<&str> {
    let value = header(text, "Contact")?;
    value.split_once('<')?.1.split_once('>').map(|(uri, _)| uri)
}

/// Where the first m-line wants its audio.
pub fn media_address(text: &str) -> Option<SocketAddrV4> {
    let line = |prefix: &str| {
        text.split("\r\n")
            .find_map(|line| line.strip_prefix(prefix))
    };
    let host = line("c=IN IP4 ")?.trim().parse().ok()?;
    let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddrV4::new(host, port))
}

/// The first whole message of a stream: its length, and its text. Line ends in front of it (RFC 5626 section 3.5.1) are part of
/// it. Nothing when more must come.
pub fn whole_message(buffer: &[u8]) -> Option<(usize, &str)> {
    let begin = buffer
        .iter()
        .position(|&byte| byte != b'\r' && byte != b'\n')?;
    let message = &buffer[begin..];
    let head = message
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?
        + 4;
    let text = std::str::from_utf8(&message[..head]).ok()?;
    let body: usize = header(text, "Content-Length")?.parse().ok()?;
    let text = std::str::from_utf8(message.get(..head + body)?).ok()?;
    Some((begin + head + body, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_address_is_found() {
        let text = "SIP/2.0 200 OK\r\n\r\nv=0\r\nc=IN IP4 127.0.0.9\r\nm=audio 4000 RTP/AVP 0\r\n";
        assert_eq!(media_address(text), "127.0.0.9:4000".parse().ok());
        assert_eq!(media_address("m=audio x"), None);
    }

    #[test]
    fn a_response_copies_what_the_rfc_names() {
        let request =
            "BYE sip:a SIP/2.0\r\nVia: v\r\nTo: <sip:b>\r\nCall-ID: 1\r\nX-Other: 2\r\n\r\n";
        let text = response(request, "200 OK", "sip:desk@127.0.0.1:5", "");
        assert!(text.contains("To: <sip:b>;tag=callee\r\n") && !text.contains("X-Other"));
    }

    #[test]
    fn messages_are_cut_from_a_stream() {
        let stream = b"\r\n\r\nACK sip:a SIP/2.0\r\nContent-Length: 2\r\n\r\nabBYE sip";
        let (length, text) = whole_message(stream).unwrap();
        assert!(text.starts_with("ACK ") && text.ends_with("\r\n\r\nab"));
        assert_eq!(&stream[length..], b"BYE sip");
        assert_eq!(whole_message(&stream[..length - 1]), None);
        assert_eq!(whole_message(b"\r\n"), None);
    }
}
