//! Many datagrams in one system call, with the kernel's receive time.
//!
//! The load generator must cost little beside the gateway that it measures, and its latencies must not hold
//! its own waiting: hence `sendmmsg`, `recvmmsg` and `SO_TIMESTAMPNS`.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// Datagrams taken or given at once.
pub const BATCH: usize = 64;
const DATAGRAM: usize = 256;
const CONTROL: usize = 64;

/// Wall-clock nanoseconds, the clock of the kernel's receive times.
pub fn wall_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// A socket with large buffers and receive times.
pub fn open(address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV4::new(address, 0))?;
    socket.set_nonblocking(true)?;
    set_option(&socket, libc::SO_RCVBUFFORCE, 32 << 20)
        .or_else(|_| set_option(&socket, libc::SO_RCVBUF, 8 << 20))?;
    set_option(&socket, libc::SO_TIMESTAMPNS, 1)?;
    Ok(socket)
}

fn set_option(socket: &UdpSocket, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open and the value outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn raw_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from(*address.ip()).to_be(),
        },
        sin_zero: [0; 8],
    }
}

/// Sends every datagram of the batch; says how many the kernel did not take.
pub fn send(socket: &UdpSocket, batch: &mut [(SocketAddrV4, Vec<u8>)]) -> usize {
    let mut unsent = 0;
    for chunk in batch.chunks_mut(BATCH) {
        let mut names: Vec<libc::sockaddr_in> =
            chunk.iter().map(|(to, _)| raw_address(*to)).collect();
        let mut parts: Vec<libc::iovec> = chunk
            .iter_mut()
            .map(|(_, data)| libc::iovec {
                iov_base: data.as_mut_ptr().cast(),
                iov_len: data.len(),
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = names
            .iter_mut()
            .zip(parts.iter_mut())
            .map(|(name, part)| header(name, part, &mut []))
            .collect();
        // SAFETY: every pointer in `headers` is into `names`, `parts` and `chunk`, which live until the end of the loop body.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                0,
            )
        };
        unsent += chunk.len() - usize::try_from(sent).unwrap_or(0);
    }
    unsent
}

fn header(
    name: &mut libc::sockaddr_in,
    part: &mut libc::iovec,
    control: &mut [u8],
) -> libc::mmsghdr {
    // SAFETY: all-zero bytes are a valid mmsghdr.
    let mut header: libc::mmsghdr = unsafe { zeroed() };
    header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    if !control.is_empty() {
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = control.len() as _;
    }
    header
}

/// Buffers for receiving, made once.
pub struct Receiver {
    data: Vec<[u8; DATAGRAM]>,
    control: Vec<[u8; CONTROL]>,
    names: Vec<libc::sockaddr_in>,
}

impl Receiver {
    /// Buffers for one batch.
    pub fn new() -> Self {
        Self {
            data: vec![[0; DATAGRAM]; BATCH],
            control: vec![[0; CONTROL]; BATCH],
            // SAFETY: all-zero bytes are a valid sockaddr_in.
            names: vec![unsafe { zeroed() }; BATCH],
        }
    }

    /// Takes what waits, up to one batch: source port, kernel receive time in wall-clock nanoseconds, datagram. Says whether more may
    /// wait.
    pub fn receive(&mut self, socket: &UdpSocket, mut take: impl FnMut(u16, u64, &[u8])) -> bool {
        let mut parts: Vec<libc::iovec> = self
            .data
            .iter_mut()
            .map(|data| libc::iovec {
                iov_base: data.as_mut_ptr().cast(),
                iov_len: DATAGRAM,
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = self
            .names
            .iter_mut()
            .zip(parts.iter_mut())
            .zip(self.control.iter_mut())
            .map(|((name, part), control)| header(name, part, control))
            .collect();
        // SAFETY: every pointer in `headers` is into buffers of `self` and `parts`, which outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).unwrap_or(0);
        let fallback = if count > 0 { wall_nanos() } else { 0 };
        for (index, header) in headers.iter().enumerate().take(count) {
            let length = (header.msg_len as usize).min(DATAGRAM);
            let port = u16::from_be(self.names[index].sin_port);
            let at = receive_time(&header.msg_hdr).unwrap_or(fallback);
            take(port, at, &self.data[index][..length]);
        }
        count == BATCH
    }
}

fn receive_time(header: &libc::msghdr) -> Option<u64> {
    // SAFETY: the kernel filled the control buffer that `header` names, and it lives as long as `header`.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        if control.is_null() || (*control).cmsg_type != libc::SCM_TIMESTAMPNS {
            return None;
        }
        let stamp: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(control).cast());
        Some(stamp.tv_sec as u64 * 1_000_000_000 + stamp.tv_nsec as u64)
    }
}
