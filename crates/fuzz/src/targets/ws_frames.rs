//! The endpoint's half of a WebSocket connection, split in any way.
use media::ws::frame::{
    append_close, append_frame, apply_mask, is_close_code, FrameDecoder, FrameError, Inbound,
    Opcode, MAX_CONTROL_BYTES, MAX_MESSAGE_BYTES,
};
use media::ws::mask::MaskKeys;

/// The first bytes are the sizes of the reads; the rest is the stream.
pub fn ws_frames(data: &[u8]) {
    let Some((sizes, stream)) = data.split_first_chunk::<4>() else {
        return;
    };
    let whole = decode(&[stream]);
    assert_eq!(
        decode(&pieces(stream, *sizes)),
        whole,
        "a split changes nothing"
    );
    for message in &whole.0 {
        check(message);
        answer(message);
    }
}

fn pieces(mut stream: &[u8], sizes: [u8; 4]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at(usize::from(*size).clamp(1, stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

fn decode(pieces: &[&[u8]]) -> (Vec<Inbound>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new();
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(inbound)) => found.push(inbound),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut input), Err(error), "an error is final");
                    return (found, Some(error));
                }
            }
        }
        assert!(input.is_empty());
    }
    (found, None)
}

fn check(message: &Inbound) {
    match message {
        Inbound::Text(text) => assert!(text.len() <= MAX_MESSAGE_BYTES),
        Inbound::Binary(length) => assert!(*length <= MAX_MESSAGE_BYTES),
        Inbound::Ping(payload) | Inbound::Pong(payload) => {
            assert!(payload.len() <= MAX_CONTROL_BYTES);
        }
        Inbound::Close { code, reason } => {
            assert!(code.is_none_or(is_close_code));
            assert!(reason.len() <= MAX_CONTROL_BYTES);
        }
    }
}

/// What we write in answer is a frame that a server could read.
fn answer(message: &Inbound) {
    let mut out = Vec::new();
    let mut masks = MaskKeys::new();
    let expected = match message {
        Inbound::Ping(payload) => {
            append_frame(&mut out, Opcode::Pong, &mut masks, |out| {
                out.extend_from_slice(payload);
            });
            Inbound::Pong(payload.clone())
        }
        Inbound::Text(text) => {
            append_frame(&mut out, Opcode::Text, &mut masks, |out| {
                out.extend_from_slice(text.as_bytes());
            });
            Inbound::Text(text.clone())
        }
        Inbound::Close {
            code: Some(code),
            reason,
        } => {
            append_close(&mut out, &mut masks, *code, reason);
            Inbound::Close {
                code: Some(*code),
                reason: reason.clone(),
            }
        }
        _ => return,
    };
    assert_eq!(decode(&[&unmasked(&out)]), (vec![expected], None));
}

/// A masked frame as the other side would have sent it.
fn unmasked(frame: &[u8]) -> Vec<u8> {
    let extended = match frame[1] & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let (head, rest) = frame.split_at(2 + extended);
    let (key, payload) = rest.split_at(4);
    let mut out = head.to_vec();
    out[1] &= 0x7F;
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], [key[0], key[1], key[2], key[3]]);
    out
}
