//! Load for the benchmarks, in processes that cost little themselves:
//!
//! * `load calls …`: makes calls through a gateway, sends RTP on both sides and checks each relayed packet;
//! * `load sink …`: the TLS WebSocket endpoint that receives and checks each streamed message;
//! * `load recorder …`: a recording server (SIPREC over TCP) that receives and checks each recorded packet.
//!
//! They print single lines of JSON on standard output and obey lines on standard input: `reset` begins a
//! measurement, `report` prints it, the end of the input ends the process.
mod arguments;
mod calls;
mod command;
mod histogram;
mod mmsg;
mod recorder;
mod rtp;
mod signalling;
mod sink;
mod sip;
mod taken;
mod websocket;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_env();
    let result = match arguments.command() {
        Some("calls") => calls::run(&arguments),
        Some("sink") => sink::run(&arguments),
        Some("recorder") => recorder::run(&arguments),
        _ => Err("usage: load calls|sink|recorder --name value …".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}
