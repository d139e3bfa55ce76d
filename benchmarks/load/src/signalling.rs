//! Just enough SIP to make calls through a gateway: a caller on one socket, a callee on another.
//!
//! The benchmark measures the gateway, so this is neither a user agent nor forgiving: a request that is not answered is sent
//! again each half second, and what is not understood is counted.
use std::collections::HashMap;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{json, Value};

use crate::arguments::Failure;
use crate::histogram::Histogram;
use crate::sip::{contact, header, media_address, response};

const RESEND: Duration = Duration::from_millis(500);
const GIVE_UP: Duration = Duration::from_secs(16);

/// What came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The gateway offers this address to the callee of a call.
    Offered(usize, SocketAddrV4),
    /// A call was answered, with the gateway's address for the caller.
    Answered(usize, SocketAddrV4),
    /// A call has ended as it should.
    Ended(usize),
    /// A call failed.
    Failed(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Calling,
    Up,
    Ending,
}

struct Call {
    state: State,
    to: String,
    target: String,
    began: Instant,
    sent: Instant,
    request: String,
}

/// Both user agents.
pub struct Signalling {
    gateway: SocketAddrV4,
    caller: UdpSocket,
    callee: UdpSocket,
    media: [SocketAddrV4; 2],
    calls: HashMap<usize, Call>,
    answered: HashMap<String, String>,
    run: u32,
    setup: Histogram,
    started: u64,
    completed: u64,
    failed: u64,
    resent: u64,
    failures: HashMap<String, u64>,
}

impl Signalling {
    /// Opens both sockets at the addresses that the gateway knows as its trunks.
    pub fn open(
        gateway: SocketAddrV4,
        trunks: [SocketAddrV4; 2],
        media: [SocketAddrV4; 2],
    ) -> Result<Self, Failure> {
        let open = |address: SocketAddrV4| -> Result<UdpSocket, Failure> {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        Ok(Self {
            gateway,
            caller: open(trunks[0])?,
            callee: open(trunks[1])?,
            media,
            calls: HashMap::new(),
            answered: HashMap::new(),
            run: std::process::id(),
            setup: Histogram::new(),
            started: 0,
            completed: 0,
            failed: 0,
            resent: 0,
            failures: HashMap::new(),
        })
    }

    /// Calls under way.
    pub fn open_calls(&self) -> usize {
        self.calls.len()
    }

    /// Begins a call.
    pub fn invite(&mut self, call: usize) {
        let body = session(self.media[0]);
        let request = self.request(
            "INVITE",
            call,
            (1, "", &format!("sip:+15550000@{}", self.gateway)),
            &body,
        );
        let now = Instant::now();
        self.transmit_to_gateway(&request);
        let to = String::new();
        let target = String::new();
        let state = State::Calling;
        self.calls.insert(
            call,
            Call {
                state,
                to,
                target,
                began: now,
                sent: now,
                request,
            },
        );
        self.started += 1;
    }

    /// Ends a call that is up.
    pub fn bye(&mut self, call: usize) {
        let Some(known) = self.calls.get(&call) else {
            return;
        };
        let request = self.request("BYE", call, (2, &known.to, &known.target), "");
        self.transmit_to_gateway(&request);
        if let Some(known) = self.calls.get_mut(&call) {
            known.state = State::Ending;
            known.sent = Instant::now();
            known.request = request;
        }
    }

    /// Takes what waits on both sockets.
    pub fn receive(&mut self, outcomes: &mut Vec<Outcome>) {
        let mut buffer = [0_u8; 8192];
        while let Ok((length, _)) = self.caller.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.on_caller(&text, outcomes);
        }
        while let Ok((length, from)) = self.callee.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.on_callee(&text, from, outcomes);
        }
    }

    /// Sends again what was not answered, and gives up what was not for too long.
    pub fn resend(&mut self, outcomes: &mut Vec<Outcome>) {
        let now = Instant::now();
        let mut again = Vec::new();
        let mut dead = Vec::new();
        for (&number, call) in &mut self.calls {
            if call.state == State::Up || now - call.sent < RESEND {
                continue;
            }
            if now - call.began > GIVE_UP && call.state == State::Calling {
                dead.push(number);
            } else {
                call.sent = now;
                again.push(call.request.clone());
            }
        }
        self.resent += again.len() as u64;
        for request in again {
            self.transmit_to_gateway(&request);
        }
        for number in dead {
            self.fail(number, "no answer", outcomes);
        }
    }

    /// Forgets what was counted.
    pub fn reset(&mut self) {
        self.setup = Histogram::new();
        (self.started, self.completed, self.failed, self.resent) = (0, 0, 0, 0);
        self.failures.clear();
    }

    /// What was counted.
    pub fn report(&self) -> Value {
        json!({
            "started": self.started, "completed": self.completed, "failed": self.failed, "resent": self.resent,
            "failures": self.failures, "setup_ms": self.setup.report(),
        })
    }

    fn transmit_to_gateway(&self, text: &str) {
        // A full socket buffer is a lost datagram: it is sent again.
        let _ = self.caller.send_to(text.as_bytes(), self.gateway);
    }

    fn request(
        &self,
        method: &str,
        call: usize,
        (cseq, to, target): (u32, &str, &str),
        body: &str,
    ) -> String {
        let local = self
            .caller
            .local_addr()
            .map_or_else(|_| String::new(), |address| address.to_string());
        let (run, gateway) = (self.run, self.gateway);
        let to = if to.is_empty() {
            format!("<sip:+15550000@{gateway}>")
        } else {
            to.to_owned()
        };
        let content = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK-{run}-{call}-{cseq}-{method};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:+1444{call:06}@{local}>;tag=c{run}-{call}\r\nTo: {to}\r\n\
             Call-ID: {run}-{call}@load\r\nCSeq: {cseq} {method}\r\nContact: <sip:load@{local}>\r\nX-Load-Call: {call}\r\n\
             {content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn on_caller(&mut self, text: &str, outcomes: &mut Vec<Outcome>) {
        let Some(number) =
            header(text, "Call-ID").and_then(|id| id.split(['-', '@']).nth(1)?.parse().ok())
        else {
            return;
        };
        let status: u16 = text
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let invite = header(text, "CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
        match (call.state, status) {
            (_, 100..=199) => call.sent = Instant::now() + Duration::from_secs(30),
            (State::Calling | State::Up, 200) if invite => {
                header(text, "To")
                    .unwrap_or_default()
                    .clone_into(&mut call.to);
                contact(text)
                    .unwrap_or_default()
                    .clone_into(&mut call.target);
                let first = call.state == State::Calling;
                call.state = State::Up;
                let (to, target, began) = (call.to.clone(), call.target.clone(), call.began);
                let ack = self.request("ACK", number, (1, &to, &target), "");
                self.transmit_to_gateway(&ack);
                if first {
                    self.setup.add(began.elapsed().as_nanos() as u64);
                    match media_address(text) {
                        Some(address) => outcomes.push(Outcome::Answered(number, address)),
                        None => self.fail(number, "no media address", outcomes),
                    }
                }
            }
            (State::Ending, 200) if !invite => {
                self.calls.remove(&number);
                self.completed += 1;
                outcomes.push(Outcome::Ended(number));
            }
            (_, 300..=699) => {
                let to = header(text, "To").unwrap_or_default().to_owned();
                let ack = self
                    .request(
                        "ACK",
                        number,
                        (1, &to, &format!("sip:+15550000@{}", self.gateway)),
                        "",
                    )
                    .replacen("-1-ACK;", "-1-INVITE;", 1);
                self.transmit_to_gateway(&ack);
                self.fail(number, &status.to_string(), outcomes);
            }
            _ => {}
        }
    }

    fn fail(&mut self, number: usize, why: &str, outcomes: &mut Vec<Outcome>) {
        self.calls.remove(&number);
        self.failed += 1;
        *self.failures.entry(why.to_owned()).or_default() += 1;
        outcomes.push(Outcome::Failed(number));
    }

    fn on_callee(&mut self, text: &str, from: std::net::SocketAddr, outcomes: &mut Vec<Outcome>) {
        let id = header(text, "Call-ID").unwrap_or_default().to_owned();
        let answer = if text.starts_with("INVITE ") {
            if let Some(known) = self.answered.get(&id) {
                known.clone()
            } else {
                let number = header(text, "X-Load-Call").and_then(|call| call.parse().ok());
                if let (Some(number), Some(address)) = (number, media_address(text)) {
                    outcomes.push(Outcome::Offered(number, address));
                }
                let ringing = response(text, "180 Ringing", &self.callee_contact(), "");
                let _ = self.callee.send_to(ringing.as_bytes(), from);
                let answer = response(
                    text,
                    "200 OK",
                    &self.callee_contact(),
                    &session(self.media[1]),
                );
                self.answered.insert(id, answer.clone());
                answer
            }
        } else if text.starts_with("BYE ") {
            self.answered.remove(&id);
            response(text, "200 OK", &self.callee_contact(), "")
        } else {
            return;
        };
        let _ = self.callee.send_to(answer.as_bytes(), from);
    }

    fn callee_contact(&self) -> String {
        self.callee
            .local_addr()
            .map_or_else(|_| String::new(), |address| format!("sip:desk@{address}"))
    }
}

fn session(media: SocketAddrV4) -> String {
    let (host, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}
