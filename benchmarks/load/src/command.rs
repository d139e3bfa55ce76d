//! Lines on standard input that steer a measurement.
use std::io::Read;

/// What the benchmark wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Forget what was measured so far.
    Reset,
    /// Print what was measured.
    Report,
    /// End every call, then report.
    Finish,
    /// Print what each stream heard.
    Detail,
    /// Close every socket without a word, as a process that is killed does; obey on.
    Die,
    /// The input has ended.
    End,
}

/// Standard input, read without waiting.
pub struct Commands {
    pending: Vec<u8>,
}

impl Commands {
    /// Makes standard input non-blocking.
    pub fn open() -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(std::io::stdin(), true)?;
        Ok(Self {
            pending: Vec::new(),
        })
    }

    /// The next command, if one has come.
    pub fn next(&mut self) -> Option<Command> {
        let mut chunk = [0_u8; 256];
        match std::io::stdin().read(&mut chunk) {
            Ok(0) => return Some(Command::End),
            Ok(length) => self.pending.extend_from_slice(&chunk[..length]),
            Err(_) => {}
        }
        let end = self.pending.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.pending.drain(..=end).collect();
        match line.trim_ascii() {
            b"reset" => Some(Command::Reset),
            b"report" => Some(Command::Report),
            b"finish" => Some(Command::Finish),
            b"detail" => Some(Command::Detail),
            b"die" => Some(Command::Die),
            _ => None,
        }
    }
}
