//! The sockets of one recorded stream, connected to the recorder: its packets cost one system call each, the kernel
//! keeps strangers out, and says when nobody is there.
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{connect, connect_unspec, recv, send, sockopt, RecvFlags, SendFlags};

use super::turn::Outlet;
use crate::clock::{Nanos, SECOND};
use crate::orders::RemoteAddress;
use crate::ports::LegSockets;
use crate::srtp::{Protector, SrtpKeys, Unprotector, TRAILER};

/// So many refusals, none farther than [`SPELL`] from the one before, mean that nobody is there. Systems answer a
/// stream of packets with one refusal a second.
const REFUSALS: u32 = 3;
const SPELL: Nanos = 5 * SECOND;
/// The longest packet that is sent to a recorder.
const MAX_PACKET: usize = 2048;

/// See the module.
#[derive(Debug)]
pub struct Port {
    sockets: LegSockets,
    remote: Option<RemoteAddress>,
    connected: bool,
    reports_connected: bool,
    refusals: u32,
    last_refusal: Nanos,
    icmp_errors: u64,
    /// What the network last said.
    complaint: Option<Errno>,
    told: bool,
    now: Nanos,
    srtp: Option<Box<Srtp>>,
}

/// The SRTP of a recorded stream, with room for a packet that is being protected.
#[derive(Debug)]
struct Srtp {
    outbound: Protector,
    inbound: Unprotector,
    sealed: [u8; MAX_PACKET + TRAILER],
}

impl Port {
    /// A pair of sockets that nothing is sent from yet.
    pub fn new(sockets: LegSockets) -> Self {
        // What a recorder may send here is never read, and shall not wait in memory.
        let _ = sockopt::set_socket_recv_buffer_size(&sockets.rtp, 0);
        Self {
            sockets,
            remote: None,
            connected: false,
            reports_connected: false,
            refusals: 0,
            last_refusal: 0,
            icmp_errors: 0,
            complaint: None,
            told: false,
            now: 0,
            srtp: None,
        }
    }

    /// Protects what is sent from now on with these keys, or not. To another recorder (`moved`) packets under another
    /// key are the first of their source.
    pub fn protect(&mut self, keys: Option<&SrtpKeys>, moved: bool, now: Nanos) {
        match (&mut self.srtp, keys) {
            (Some(srtp), Some(keys)) if !moved || srtp.outbound.key() == &keys.send => {
                srtp.outbound.rekey(keys.send.clone());
                srtp.inbound.rekey(keys.receive.clone(), now);
            }
            (srtp, keys) => {
                *srtp = keys.map(|keys| {
                    Box::new(Srtp {
                        outbound: Protector::new(keys.send.clone()),
                        inbound: Unprotector::new(keys.receive.clone()),
                        sealed: [0; MAX_PACKET + TRAILER],
                    })
                });
            }
        }
    }

    /// The RTP port.
    pub const fn number(&self) -> u16 {
        self.sockets.port
    }

    /// Where the recorder's reports come in.
    pub fn reports(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.sockets.rtcp.as_fd()
    }

    /// Times that the network said that nobody takes the packets.
    pub const fn icmp_errors(&self) -> u64 {
        self.icmp_errors
    }

    /// Where packets go.
    pub const fn remote(&self) -> Option<RemoteAddress> {
        self.remote
    }

    /// Sends elsewhere from now on, or nowhere.
    pub fn retarget(&mut self, remote: Option<RemoteAddress>) {
        self.remote = remote;
        self.refusals = 0;
        self.complaint = None;
        self.told = false;
        let Some(remote) = remote else {
            // A socket that can't be let go of keeps its peer, and is sent nothing all the same.
            let _ = connect_unspec(&self.sockets.rtp);
            let _ = connect_unspec(&self.sockets.rtcp);
            self.connected = false;
            self.reports_connected = false;
            return;
        };
        let result = connect(&self.sockets.rtp, &remote.rtp());
        self.connected = result.is_ok();
        self.complaint = result.err();
        self.reports_connected =
            remote.rtcp_port != 0 && connect(&self.sockets.rtcp, &remote.rtcp()).is_ok();
    }

    /// Notes the time of what is sent next.
    pub fn at(&mut self, now: Nanos) -> &mut Self {
        self.now = now;
        self
    }

    /// Sends a report; one that is lost is made good by the next. Whether the network took it.
    pub fn send_report(&mut self, packet: &mut Vec<u8>) -> bool {
        if !self.reports_connected {
            return false;
        }
        if let Some(srtp) = &mut self.srtp {
            if srtp.outbound.seal_report(packet).is_err() {
                return false;
            }
        }
        transmit(&self.sockets.rtcp, packet).is_ok()
    }

    /// Reads a report of the recorder.
    pub fn receive_report(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        // An error is what an earlier report of ours met: many recorders have no RTCP at all.
        let (_, length) = recv(&self.sockets.rtcp, &mut *buffer, flags).ok()?;
        if !self.reports_connected {
            return None;
        }
        let Some(srtp) = &mut self.srtp else {
            return Some(length);
        };
        let packet = buffer.get_mut(..length).unwrap_or_default();
        // A report that is not authentic is as good as none, and those behind it are read all the same.
        Some(srtp.inbound.open_report(packet, self.now).unwrap_or(0))
    }

    /// The recorder has been heard: it is there.
    pub fn heard(&mut self) {
        self.refusals = 0;
    }

    /// Says once for each address that nobody is there, and why.
    pub fn take_complaint(&mut self) -> Option<Errno> {
        let complaint = self.complaint?;
        let certain = !self.connected || self.refusals >= REFUSALS;
        if self.told || !certain {
            return None;
        }
        self.told = true;
        Some(complaint)
    }

    fn refused(&mut self, error: Errno) {
        let now = self.now;
        if now.saturating_sub(self.last_refusal) > SPELL {
            self.refusals = 0;
        }
        self.last_refusal = now;
        self.refusals += 1;
        self.icmp_errors += 1;
        self.complaint = Some(error);
    }
}

impl Outlet for Port {
    fn send(&mut self, packet: &[u8]) -> bool {
        if !self.connected {
            return false;
        }
        let packet = match &mut self.srtp {
            None => packet,
            Some(srtp) => {
                let length = packet.len();
                let Some(room) = srtp.sealed.get_mut(..length) else {
                    return false;
                };
                room.copy_from_slice(packet);
                let Ok(sealed) = srtp.outbound.seal(&mut srtp.sealed, length) else {
                    return false;
                };
                &srtp.sealed[..sealed.length]
            }
        };
        let error = match transmit(&self.sockets.rtp, packet) {
            Ok(()) => return true,
            Err(error) => error,
        };
        if !matches!(
            error,
            Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH
        ) {
            return false;
        }
        // The refusal is of an earlier packet; reading it has cleared the way for this one.
        let sent = transmit(&self.sockets.rtp, packet).is_ok();
        self.refused(error);
        sent
    }
}

fn transmit(socket: &std::os::fd::OwnedFd, packet: &[u8]) -> rustix::io::Result<()> {
    send(socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop)
}
