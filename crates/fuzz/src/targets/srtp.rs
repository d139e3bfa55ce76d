//! SRTP between two sides: what was sent is opened once at most and as it was, whatever else comes and however often
//! the key changes; what was not sent is not opened.
use arbitrary::{Result, Unstructured};
use media::clock::MILLISECOND;
use media::rtp;
use media::srtp::{MasterKey, Protector, Suite, Unprotector, TRAILER};

/// Steps of one run.
const STEPS_MAX: usize = 200;
/// The longest packet of a run.
const PACKET_MAX: usize = 400;

/// A suite, then packets that are sent, lost, repeated, changed and made up.
pub fn srtp(data: &[u8]) {
    // The input ends where it ends.
    let _ = run(&mut Unstructured::new(data));
}

struct Sent {
    plain: Vec<u8>,
    sealed: Vec<u8>,
    opened: bool,
}

struct Sides {
    protector: Protector,
    unprotector: Unprotector,
    sent: Vec<Sent>,
    reports: Vec<Sent>,
    now: u64,
}

fn key(input: &mut Unstructured<'_>) -> Result<MasterKey> {
    let suite = *input.choose(&Suite::ALL)?;
    let seed = input.arbitrary::<u8>()?;
    let bytes = vec![seed; suite.key_length() + suite.salt_length()];
    let lifetime = if input.ratio(1_u8, 16_u8)? {
        5
    } else {
        u64::MAX
    };
    let made = MasterKey::new(suite, &bytes, lifetime);
    Ok(made.unwrap_or_else(|error| panic!("a key of the right length is refused: {error}")))
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let first = key(input)?;
    let mut sides = Sides {
        protector: Protector::new(first.clone()),
        unprotector: Unprotector::new(first),
        sent: Vec::new(),
        reports: Vec::new(),
        now: 0,
    };
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        sides.now += u64::from(input.arbitrary::<u8>()?) * 10 * MILLISECOND;
        match input.int_in_range(0..=5_u8)? {
            0 | 1 => sides.send(packet(input)?),
            2 => sides.deliver(input)?,
            3 => sides.forge(input)?,
            4 => sides.report(packet(input)?),
            _ => {
                let next = key(input)?;
                sides.unprotector.rekey(next.clone(), sides.now);
                sides.protector.rekey(next);
            }
        }
    }
    Ok(())
}

fn packet(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = input.int_in_range(0..=PACKET_MAX)?.min(input.len());
    Ok(input.bytes(length)?.to_vec())
}

impl Sides {
    fn send(&mut self, plain: Vec<u8>) {
        let mut sealed = [&plain[..], &[0; TRAILER]].concat();
        let Ok(made) = self.protector.seal(&mut sealed, plain.len()) else {
            return;
        };
        sealed.truncate(made.length);
        let mut plain = plain;
        rtp::set_ssrc(&mut plain, made.ssrc);
        let start = rtp::payload_start(&plain);
        let start = start.unwrap_or_else(|| panic!("what is no packet was protected"));
        assert_eq!(sealed[..start], plain[..start], "headers stay as they are");
        let opened = false;
        self.sent.push(Sent {
            plain,
            sealed,
            opened,
        });
    }

    fn report(&mut self, plain: Vec<u8>) {
        let mut sealed = plain.clone();
        if self.protector.seal_report(&mut sealed).is_err() {
            return;
        }
        let mut copy = sealed.clone();
        if let Ok(length) = self.unprotector.open_report(&mut copy, self.now) {
            assert_eq!(copy[..length], plain);
        }
        let again = self.unprotector.open_report(&mut sealed.clone(), self.now);
        assert!(again.is_err(), "a report is opened once");
        self.reports.push(Sent {
            plain,
            sealed,
            opened: true,
        });
    }

    fn deliver(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        if self.sent.is_empty() {
            return Ok(());
        }
        let which = input.choose_index(self.sent.len())?;
        let sent = &mut self.sent[which];
        let mut packet = sent.sealed.clone();
        if let Ok(length) = self.unprotector.open(&mut packet, self.now) {
            assert!(!sent.opened, "a packet is opened once");
            assert_eq!(packet[..length], sent.plain);
            sent.opened = true;
        }
        Ok(())
    }

    fn forge(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        let mut packet = packet(input)?;
        if !self.sent.is_empty() && input.arbitrary()? {
            let sealed = &self.sent[input.choose_index(self.sent.len())?].sealed;
            let at = input.choose_index(sealed.len())?;
            packet.clone_from(sealed);
            packet[at] ^= input.int_in_range(1..=255_u8)?;
        }
        let known = |sent: &Sent| sent.sealed == packet;
        if self.sent.iter().any(known) || self.reports.iter().any(known) {
            return Ok(());
        }
        let opened = self.unprotector.open(&mut packet.clone(), self.now);
        assert!(opened.is_err(), "what nobody sent is not opened");
        let opened = self.unprotector.open_report(&mut packet, self.now);
        assert!(opened.is_err(), "what nobody reported is not opened");
        Ok(())
    }
}
