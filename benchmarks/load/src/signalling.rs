//! Just enough SIP to make calls through a gateway: a caller on one socket, a callee on another.
//!
//! The benchmark measures the gateway, so this is neither a user agent nor forgiving: a request that is not answered is sent
//! again each half second, and what is not understood is counted.
use std::collections::HashMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{json, Value};

use crate::arguments::Failure;
use crate::histogram::Histogram;

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
                let ringing = response(text, "180 Ringing", self.callee_address(), "");
                let _ = self.callee.send_to(ringing.as_bytes(), from);
                let answer = response(
                    text,
                    "200 OK",
                    self.callee_address(),
                    &session(self.media[1]),
                );
                self.answered.insert(id, answer.clone());
                answer
            }
        } else if text.starts_with("BYE ") {
            self.answered.remove(&id);
            response(text, "200 OK", self.callee_address(), "")
        } else {
            return;
        };
        let _ = self.callee.send_to(answer.as_bytes(), from);
    }

    fn callee_address(&self) -> SocketAddrV4 {
        match self.callee.local_addr() {
            Ok(std::net::SocketAddr::V4(address)) => address,
            _ => SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        }
    }
}

fn session(media: SocketAddrV4) -> String {
    let (host, port) = (media.ip(), media.port());
    format!(
        "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

fn response(request: &str, status: &str, local: SocketAddrV4, body: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .split("\r\n")
        .skip(1)
    {
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
    let _ = write!(text, "Contact: <sip:desk@{local}>\r\n");
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
    text
}

fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split("\r\n")
        .take_while(|line| !line.is_empty())
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
}

fn contact(text: &str) -> Option<&str> {
    let value = header(text, "Contact")?;
    value.split_once('<')?.1.split_once('>').map(|(uri, _)| uri)
}

fn media_address(text: &str) -> Option<SocketAddrV4> {
    let line = |prefix: &str| {
        text.split("\r\n")
            .find_map(|line| line.strip_prefix(prefix))
    };
    let host = line("c=IN IP4 ")?.trim().parse().ok()?;
    let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    Some(SocketAddrV4::new(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_address_is_found() {
        let text = format!(
            "SIP/2.0 200 OK\r\n\r\n{}",
            session("127.0.0.9:4000".parse().unwrap())
        );
        assert_eq!(media_address(&text), "127.0.0.9:4000".parse().ok());
        assert_eq!(media_address("m=audio x"), None);
    }

    #[test]
    fn a_response_copies_what_the_rfc_names() {
        let request =
            "BYE sip:a SIP/2.0\r\nVia: v\r\nTo: <sip:b>\r\nCall-ID: 1\r\nX-Other: 2\r\n\r\n";
        let text = response(request, "200 OK", "127.0.0.1:5".parse().unwrap(), "");
        assert!(text.contains("To: <sip:b>;tag=callee\r\n") && !text.contains("X-Other"));
    }
}
