//! RFC 6455 frames as a client sees them: masked going out, unmasked coming in.
//!
//! No I/O here. [`FrameDecoder`] gives the same results however its input is split, and holds no
//! bytes but those of the message being assembled, so an idle connection costs nothing.

use super::mask::MaskKeys;

/// The largest inbound message that is accepted, in bytes; a longer one is answered with 1009.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The largest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// A frame header is at most 2 + 8 + 4 bytes (RFC 6455 section 5.2).
const MAX_HEADER_BYTES: usize = 14;

/// Room kept in front of a payload while its length is not known: the 16-bit form, with mask.
const USUAL_HEADER_BYTES: usize = 8;

/// What a frame carries (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// The next part of a fragmented message.
    Continuation,
    /// UTF-8 text.
    Text,
    /// Arbitrary bytes.
    Binary,
    /// Connection close (section 5.5.1).
    Close,
    /// Ping (section 5.5.2).
    Ping,
    /// Pong (section 5.5.3).
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Something complete that the endpoint sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A text message, already checked to be UTF-8.
    Text(String),
    /// A binary message; the protocol has none, so only its length in bytes is told.
    Binary(usize),
    /// A ping with its payload, to be echoed (RFC 6455 section 5.5.3).
    Ping(Vec<u8>),
    /// A pong with its payload.
    Pong(Vec<u8>),
    /// The endpoint's Close (RFC 6455 section 5.5.1); no code when its body is empty.
    Close {
        /// Status code (RFC 6455 section 7.4).
        code: Option<u16>,
        /// Reason text, often empty.
        reason: String,
    },
}

/// The endpoint broke RFC 6455; the connection must be failed (section 7.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A server must not mask (section 5.1).
    #[error("the endpoint sent a masked frame")]
    Masked,
    /// A reserved bit is set though no extension was negotiated (section 5.2).
    #[error("the endpoint set a reserved bit without an extension")]
    ReservedBit,
    /// An opcode that RFC 6455 does not define (section 5.2).
    #[error("the endpoint sent unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// A fragmented or oversized control frame (section 5.5).
    #[error("the endpoint sent a fragmented or oversized control frame")]
    BadControl,
    /// A continuation without a beginning, or a beginning inside a message (section 5.4).
    #[error("the endpoint sent a frame out of its message's order")]
    BadFragment,
    /// A 64-bit length with its highest bit set (section 5.2).
    #[error("the endpoint sent an impossible frame length")]
    BadLength,
    /// A Close with a one-byte body or a code that may not be sent (section 7.4).
    #[error("the endpoint sent a malformed close frame")]
    BadClose,
    /// A text message or close reason that is not UTF-8 (section 8.1).
    #[error("the endpoint sent text that is not UTF-8")]
    BadUtf8,
    /// A message above [`MAX_MESSAGE_BYTES`].
    #[error("the endpoint sent a message above {MAX_MESSAGE_BYTES} bytes")]
    TooBig,
}

impl FrameError {
    /// The status code to close with (RFC 6455 section 7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::BadUtf8 => 1007,
            Self::TooBig => 1009,
            _ => 1002,
        }
    }
}

/// The frame whose payload is being read.
#[derive(Debug, Clone, Copy)]
struct Current {
    opcode: Opcode,
    fin: bool,
    remaining: usize,
}

/// Inbound half of the codec: bytes in, messages out.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    header: [u8; MAX_HEADER_BYTES],
    header_filled: usize,
    current: Option<Current>,
    control: Vec<u8>,
    message: Vec<u8>,
    message_opcode: Option<Opcode>,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the front of `input` until something is complete.
    ///
    /// `None` means that `input` is used up. An error is final: it is returned again by every later call.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Inbound>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.step(input);
        if let Err(error) = result {
            self.failed = Some(error);
            self.message = Vec::new();
        }
        result
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Option<Inbound>, FrameError> {
        loop {
            let current = match self.current {
                Some(current) => current,
                None => match self.read_header(input)? {
                    Some(current) => current,
                    None => return Ok(None),
                },
            };
            if !self.read_payload(current, input) {
                return Ok(None);
            }
            self.current = None;
            if let Some(inbound) = self.finish_frame(current)? {
                return Ok(Some(inbound));
            }
        }
    }

    /// Reads the two fixed bytes and the extended length; `None` until all of it is there.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<Current>, FrameError> {
        loop {
            if self.header_filled >= 2 {
                let length_bytes = self.check_start()?;
                if self.header_filled == 2 + length_bytes {
                    let current = self.check_header(length_bytes)?;
                    self.header_filled = 0;
                    self.current = Some(current);
                    return Ok(Some(current));
                }
            }
            let Some((&byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            *input = rest;
            self.header[self.header_filled] = byte;
            self.header_filled += 1;
        }
    }

    /// Checks the two fixed bytes; returns how many bytes of extended length follow.
    fn check_start(&self) -> Result<usize, FrameError> {
        if self.header[0] & 0x70 != 0 {
            return Err(FrameError::ReservedBit);
        }
        let bits = self.header[0] & 0x0F;
        Opcode::from_bits(bits).ok_or(FrameError::UnknownOpcode(bits))?;
        if self.header[1] & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        Ok(match self.header[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        })
    }

    fn check_header(&self, length_bytes: usize) -> Result<Current, FrameError> {
        let bits = self.header[0] & 0x0F;
        let opcode = Opcode::from_bits(bits).ok_or(FrameError::UnknownOpcode(bits))?;
        let fin = self.header[0] & 0x80 != 0;
        let length = match length_bytes {
            0 => u64::from(self.header[1] & 0x7F),
            _ => self.header[2..2 + length_bytes]
                .iter()
                .fold(0_u64, |value, &byte| value << 8 | u64::from(byte)),
        };
        if length >> 63 != 0 {
            return Err(FrameError::BadLength);
        }
        let remaining = usize::try_from(length).map_err(|_| FrameError::TooBig)?;
        if opcode.is_control() {
            if !fin || remaining > MAX_CONTROL_BYTES {
                return Err(FrameError::BadControl);
            }
        } else {
            if (opcode == Opcode::Continuation) != self.message_opcode.is_some() {
                return Err(FrameError::BadFragment);
            }
            if self.message.len().saturating_add(remaining) > MAX_MESSAGE_BYTES {
                return Err(FrameError::TooBig);
            }
        }
        Ok(Current {
            opcode,
            fin,
            remaining,
        })
    }

    /// Moves payload bytes; true when the frame has all of them.
    fn read_payload(&mut self, mut current: Current, input: &mut &[u8]) -> bool {
        let take = current.remaining.min(input.len());
        let (part, rest) = input.split_at(take);
        *input = rest;
        if current.opcode.is_control() {
            self.control.extend_from_slice(part);
        } else {
            self.message.extend_from_slice(part);
        }
        current.remaining -= take;
        self.current = Some(current);
        current.remaining == 0
    }

    fn finish_frame(&mut self, frame: Current) -> Result<Option<Inbound>, FrameError> {
        match frame.opcode {
            Opcode::Ping => Ok(Some(Inbound::Ping(std::mem::take(&mut self.control)))),
            Opcode::Pong => Ok(Some(Inbound::Pong(std::mem::take(&mut self.control)))),
            Opcode::Close => parse_close(&std::mem::take(&mut self.control)).map(Some),
            opcode => {
                if opcode != Opcode::Continuation {
                    self.message_opcode = Some(opcode);
                }
                if frame.fin {
                    self.finish_message().map(Some)
                } else {
                    Ok(None)
                }
            }
        }
    }

    fn finish_message(&mut self) -> Result<Inbound, FrameError> {
        let payload = std::mem::take(&mut self.message);
        match self.message_opcode.take() {
            Some(Opcode::Binary) => Ok(Inbound::Binary(payload.len())),
            _ => String::from_utf8(payload)
                .map(Inbound::Text)
                .map_err(|_| FrameError::BadUtf8),
        }
    }
}

/// Whether a Close may carry this code (RFC 6455 section 7.4).
pub const fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads the body of a Close frame (RFC 6455 sections 5.5.1 and 7.4).
fn parse_close(body: &[u8]) -> Result<Inbound, FrameError> {
    let Some((code, reason)) = body.split_first_chunk::<2>() else {
        return if body.is_empty() {
            Ok(Inbound::Close {
                code: None,
                reason: String::new(),
            })
        } else {
            Err(FrameError::BadClose)
        };
    };
    let code = u16::from_be_bytes(*code);
    if !is_close_code(code) {
        return Err(FrameError::BadClose);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| FrameError::BadUtf8)?;
    Ok(Inbound::Close {
        code: Some(code),
        reason: reason.to_owned(),
    })
}

/// Appends one unfragmented, masked frame whose payload is written by `write` straight into `out`.
pub fn append_frame(
    out: &mut Vec<u8>,
    opcode: Opcode,
    masks: &mut MaskKeys,
    write: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; USUAL_HEADER_BYTES]);
    write(out);
    let length = out.len() - start - USUAL_HEADER_BYTES;
    let key = masks.next_key();
    let (header, header_length) = frame_header(opcode, length, key);
    if header_length == USUAL_HEADER_BYTES {
        out[start..start + header_length].copy_from_slice(&header[..header_length]);
    } else {
        out.splice(
            start..start + USUAL_HEADER_BYTES,
            header[..header_length].iter().copied(),
        );
    }
    apply_mask(&mut out[start + header_length..], key);
}

/// Appends a masked Close frame (RFC 6455 section 5.5.1); a reason over 123 bytes is cut at a character.
pub fn append_close(out: &mut Vec<u8>, masks: &mut MaskKeys, code: u16, reason: &str) {
    let mut length = reason.len().min(MAX_CONTROL_BYTES - 2);
    while !reason.is_char_boundary(length) {
        length -= 1;
    }
    append_frame(out, Opcode::Close, masks, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        out.extend_from_slice(&reason.as_bytes()[..length]);
    });
}

/// The header of a final, masked frame (RFC 6455 section 5.2) and its length.
fn frame_header(opcode: Opcode, length: usize, key: [u8; 4]) -> ([u8; MAX_HEADER_BYTES], usize) {
    let mut header = [0; MAX_HEADER_BYTES];
    header[0] = 0x80 | opcode.bits();
    let end = if length < 126 {
        header[1] = 0x80 | length as u8;
        2
    } else if let Ok(short) = u16::try_from(length) {
        header[1] = 0xFE;
        header[2..4].copy_from_slice(&short.to_be_bytes());
        4
    } else {
        header[1] = 0xFF;
        header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        10
    };
    header[end..end + 4].copy_from_slice(&key);
    (header, end + 4)
}

/// XORs the payload with its key (RFC 6455 section 5.3), eight bytes at a time.
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let word = u32::from_ne_bytes(key);
    let double = u64::from(word) << 32 | u64::from(word);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ double).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as a server sends it: unmasked.
    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..=125 => frame.push(length as u8),
            length @ 126..=65_535 => {
                frame.push(126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        frame
    }

    fn decode_all(chunks: &[&[u8]]) -> Result<Vec<Inbound>, FrameError> {
        let mut decoder = FrameDecoder::new();
        let mut found = Vec::new();
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(inbound) = decoder.decode(&mut input)? {
                found.push(inbound);
            }
            assert!(input.is_empty());
        }
        Ok(found)
    }

    fn unmask(frame: &[u8]) -> (u8, Vec<u8>) {
        let (length, offset) = match frame[1] & 0x7F {
            126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
            127 => (
                u64::from_be_bytes(frame[2..10].try_into().unwrap()) as usize,
                10,
            ),
            short => (usize::from(short), 2),
        };
        assert_eq!(frame[1] & 0x80, 0x80, "a client masks");
        let key: [u8; 4] = frame[offset..offset + 4].try_into().unwrap();
        let mut payload = frame[offset + 4..].to_vec();
        assert_eq!(payload.len(), length);
        apply_mask(&mut payload, key);
        (frame[0], payload)
    }

    #[test]
    fn rfc6455_section_5_7_examples() {
        let hello = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
        assert_eq!(
            decode_all(&[&hello]).unwrap(),
            [Inbound::Text("Hello".into())]
        );
        let parts = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
        assert_eq!(
            decode_all(&[&parts]).unwrap(),
            [Inbound::Text("Hello".into())]
        );
        let mut masked = *b"Hello";
        apply_mask(&mut masked, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(masked, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn a_control_frame_may_come_inside_a_fragmented_message() {
        let bytes = [
            server_frame(0x01, b"one "),
            server_frame(0x89, b"now"),
            server_frame(0x00, b"two "),
            server_frame(0x80, b"three"),
        ]
        .concat();
        let expected = [
            Inbound::Ping(b"now".to_vec()),
            Inbound::Text("one two three".into()),
        ];
        assert_eq!(decode_all(&[&bytes]).unwrap(), expected);
    }

    #[test]
    fn a_character_may_be_split_over_fragments() {
        let euro = "€".as_bytes();
        let bytes = [
            server_frame(0x01, &euro[..1]),
            server_frame(0x80, &euro[1..]),
        ]
        .concat();
        assert_eq!(decode_all(&[&bytes]).unwrap(), [Inbound::Text("€".into())]);
    }

    #[test]
    fn rule_breakers_are_refused_with_the_right_code() {
        let long = vec![b'x'; MAX_MESSAGE_BYTES + 1];
        let half = vec![b'x'; MAX_MESSAGE_BYTES / 2 + 1];
        let cases: Vec<(Vec<u8>, FrameError, u16)> = vec![
            (vec![0x81, 0x85, 1, 2, 3, 4], FrameError::Masked, 1002),
            (server_frame(0xC1, b"x"), FrameError::ReservedBit, 1002),
            (server_frame(0x83, b"x"), FrameError::UnknownOpcode(3), 1002),
            (
                server_frame(0x8B, b"x"),
                FrameError::UnknownOpcode(11),
                1002,
            ),
            (server_frame(0x09, b"x"), FrameError::BadControl, 1002),
            (server_frame(0x89, &[0; 126]), FrameError::BadControl, 1002),
            (server_frame(0x80, b"x"), FrameError::BadFragment, 1002),
            (
                [server_frame(0x01, b"a"), server_frame(0x81, b"b")].concat(),
                FrameError::BadFragment,
                1002,
            ),
            (
                vec![0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0],
                FrameError::BadLength,
                1002,
            ),
            (server_frame(0x88, &[3]), FrameError::BadClose, 1002),
            (
                server_frame(0x88, &1005_u16.to_be_bytes()),
                FrameError::BadClose,
                1002,
            ),
            (
                server_frame(0x88, &999_u16.to_be_bytes()),
                FrameError::BadClose,
                1002,
            ),
            (
                server_frame(0x88, &[0x03, 0xE8, 0xFF]),
                FrameError::BadUtf8,
                1007,
            ),
            (server_frame(0x81, &[0xC3, 0x28]), FrameError::BadUtf8, 1007),
            (server_frame(0x81, &long), FrameError::TooBig, 1009),
            (
                [server_frame(0x01, &half), server_frame(0x80, &half)].concat(),
                FrameError::TooBig,
                1009,
            ),
        ];
        for (bytes, error, code) in cases {
            assert_eq!(
                decode_all(&[&bytes]),
                Err(error),
                "{:x?}",
                &bytes[..bytes.len().min(12)]
            );
            assert_eq!(error.close_code(), code);
        }
    }

    #[test]
    fn an_error_is_final() {
        let mut decoder = FrameDecoder::new();
        assert!(decoder.decode(&mut &[0xF1_u8, 0][..]).is_err());
        let hello = server_frame(0x81, b"Hello");
        assert_eq!(
            decoder.decode(&mut &hello[..]),
            Err(FrameError::ReservedBit)
        );
    }

    #[test]
    fn the_largest_message_and_an_empty_one_pass() {
        let long = vec![b'x'; MAX_MESSAGE_BYTES];
        let bytes = [
            server_frame(0x81, &long),
            server_frame(0x81, b""),
            server_frame(0x82, b"abc"),
        ]
        .concat();
        let found = decode_all(&[&bytes]).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1], Inbound::Text(String::new()));
        assert_eq!(found[2], Inbound::Binary(3));
    }

    #[test]
    fn close_bodies() {
        let close = |code, reason: &str| Inbound::Close {
            code,
            reason: reason.into(),
        };
        assert_eq!(decode_all(&[&[0x88, 0]]).unwrap(), [close(None, "")]);
        let bytes = server_frame(0x88, b"\x03\xE8bye");
        assert_eq!(decode_all(&[&bytes]).unwrap(), [close(Some(1000), "bye")]);
    }

    #[test]
    fn a_long_close_reason_is_cut_at_a_character() {
        let mut out = Vec::new();
        append_close(&mut out, &mut MaskKeys::new(), 1001, &"é".repeat(100));
        let (first, payload) = unmask(&out);
        assert_eq!((first, payload.len()), (0x88, 124));
        assert!(std::str::from_utf8(&payload[2..]).is_ok());
    }

    #[test]
    fn all_three_length_forms_are_written() {
        for length in [0, 5, 125, 126, 300, 65_535, 65_536, 70_000] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut out = b"before".to_vec();
            append_frame(&mut out, Opcode::Text, &mut MaskKeys::new(), |out| {
                out.extend_from_slice(&payload);
            });
            assert_eq!(unmask(&out[6..]), (0x81, payload));
        }
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            "\\PC{0,200}".prop_map(|text| server_frame(0x81, text.as_bytes())),
            ("[a-z]{0,20}", "[a-z]{0,20}").prop_map(|(a, b)| {
                [
                    server_frame(0x01, a.as_bytes()),
                    server_frame(0x80, b.as_bytes()),
                ]
                .concat()
            }),
            proptest::collection::vec(any::<u8>(), 0..125).prop_map(|p| server_frame(0x89, &p)),
            proptest::collection::vec(any::<u8>(), 0..125).prop_map(|p| server_frame(0x8A, &p)),
            proptest::collection::vec(any::<u8>(), 0..400).prop_map(|p| server_frame(0x82, &p)),
            (3000_u16..5000).prop_map(|code| server_frame(0x88, &code.to_be_bytes())),
        ]
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            frames in proptest::collection::vec(any_frame(), 0..8),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let bytes = frames.concat();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode_all(&chunks), decode_all(&[&bytes]));
        }

        #[test]
        fn garbage_never_panics_and_never_hoards(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        ) {
            let mut decoder = FrameDecoder::new();
            let mut input = &bytes[..];
            while let Ok(Some(_)) = decoder.decode(&mut input) {}
            prop_assert!(decoder.message.len() <= MAX_MESSAGE_BYTES);
            prop_assert!(decoder.control.len() <= MAX_CONTROL_BYTES);
        }

        #[test]
        fn masking_twice_is_nothing(mut payload: Vec<u8>, key: [u8; 4]) {
            let before = payload.clone();
            apply_mask(&mut payload, key);
            for (index, (masked, plain)) in payload.iter().zip(&before).enumerate() {
                prop_assert_eq!(masked ^ key[index % 4], *plain);
            }
        }
    }
}
