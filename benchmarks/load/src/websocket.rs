//! The server side of a WebSocket, as far as the sink needs it (RFC 6455): one upgrade, then masked text frames.
use sha1::{Digest, Sha1};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// One frame of the client, unmasked in place.
pub struct Frame<'a> {
    /// The opcode (1 text, 8 close, 9 ping, 10 pong).
    pub opcode: u8,
    /// The unmasked payload.
    pub payload: &'a mut [u8],
}

/// The response to an upgrade request, when it is whole; also its length.
pub fn upgrade(request: &[u8]) -> Option<(usize, String)> {
    let end = request
        .windows(4)
        .position(|window| window == b"\r\n\r\n")?
        + 4;
    let text = String::from_utf8_lossy(&request[..end]);
    let key = text.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("Sec-WebSocket-Key")
            .then(|| value.trim().to_owned())
    })?;
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    let accept = base64_simd::STANDARD.encode_to_string(hash.finalize());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
         Sec-WebSocket-Protocol: sidestream.v1\r\n\r\n"
    );
    Some((end, response))
}

/// The first whole frame in the buffer and its length there.
pub fn frame(buffer: &mut [u8]) -> Option<(usize, Frame<'_>)> {
    let (&first, &second) = (buffer.first()?, buffer.get(1)?);
    let (length, mut at) = match second & 0x7F {
        126 => (
            usize::from(u16::from_be_bytes(*buffer.get(2..4)?.first_chunk()?)),
            4,
        ),
        127 => (
            u64::from_be_bytes(*buffer.get(2..10)?.first_chunk()?) as usize,
            10,
        ),
        short => (usize::from(short), 2),
    };
    let key: [u8; 4] = *buffer.get(at..at + 4)?.first_chunk()?;
    at += 4;
    let end = at.checked_add(length)?;
    let payload = buffer.get_mut(at..end)?;
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index & 3];
    }
    Some((
        end,
        Frame {
            opcode: first & 0x0F,
            payload,
        },
    ))
}

/// Appends an unmasked frame of at most 125 bytes.
pub fn append(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    out.push(payload.len().min(125) as u8);
    out.extend_from_slice(&payload[..payload.len().min(125)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_gives_its_answer() {
        let request = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let (length, response) = upgrade(request).unwrap();
        assert_eq!(length, request.len());
        assert!(response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn a_masked_frame_is_read() {
        let mut bytes = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        let (length, frame) = frame(&mut bytes).unwrap();
        assert_eq!(
            (length, frame.opcode, &*frame.payload),
            (11, 1, &b"Hello"[..])
        );
    }
}
