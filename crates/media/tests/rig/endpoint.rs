//! An endpoint without TLS that keeps what it is sent. Written apart from the engine's own WebSocket code.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver, Sender};

use serde_json::Value;
use sha1::{Digest, Sha1};

use crate::rig::PATIENCE;

/// What an endpoint hears.
pub enum Said {
    Text(Value),
    Close(u16),
    Gone,
}

pub struct Endpoint {
    pub address: SocketAddr,
    said: Receiver<Said>,
}

impl Endpoint {
    /// Serves one connection at `host`.
    pub fn new(host: std::net::Ipv4Addr) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (hear, said) = channel();
        std::thread::spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            serve(connection, &hear);
            let _ = hear.send(Said::Gone);
        });
        Self { address, said }
    }

    /// The next message; none once a Close has come.
    pub fn message(&self) -> Option<Value> {
        match self.said.recv_timeout(PATIENCE).expect("a message") {
            Said::Text(message) => Some(message),
            Said::Close(code) => {
                assert_eq!(code, 1000);
                None
            }
            Said::Gone => panic!("gone without a Close"),
        }
    }

    /// All messages up to the Close.
    pub fn messages(&self) -> Vec<Value> {
        std::iter::from_fn(|| self.message()).collect()
    }

    /// All messages until the connection is gone, however it goes.
    pub fn until_gone(&self) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            match self.said.recv_timeout(PATIENCE).expect("an end") {
                Said::Text(message) => messages.push(message),
                Said::Close(_) => {}
                Said::Gone => return messages,
            }
        }
    }
}

fn serve(mut connection: TcpStream, hear: &Sender<Said>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .expect("a key");
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64_simd::STANDARD.encode_to_string(digest);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    connection.write_all(answer.as_bytes()).unwrap();
    while let Some((opcode, payload)) = read_frame(&mut connection) {
        let said = match opcode {
            1 => Said::Text(serde_json::from_slice(&payload).unwrap()),
            8 => {
                let mut answer = vec![0x88, payload.len() as u8];
                answer.extend(&payload);
                let _ = connection.write_all(&answer);
                Said::Close(u16::from_be_bytes([payload[0], payload[1]]))
            }
            _ => continue,
        };
        if hear.send(said).is_err() {
            return;
        }
    }
}

fn read_frame(connection: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut exactly = |count: usize| {
        let mut bytes = vec![0; count];
        connection.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    let head = exactly(2)?;
    assert_eq!(head[1] & 0x80, 0x80, "a client masks its frames");
    let length = match head[1] & 0x7F {
        126 => usize::from(u16::from_be_bytes(exactly(2)?.try_into().unwrap())),
        127 => usize::try_from(u64::from_be_bytes(exactly(8)?.try_into().unwrap())).unwrap(),
        short => usize::from(short),
    };
    let key = exactly(4)?;
    let mut payload = exactly(length)?;
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
    Some((head[0] & 0x0F, payload))
}
