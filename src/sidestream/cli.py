"""The command `sidestream`: arguments in, one function called, an exit code out.

Exit codes: 0 good, 1 failed, 2 wrong use or configuration. What a command needs is imported when it runs, so
that `--help` and `version` are quick.
"""

from __future__ import annotations

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

if TYPE_CHECKING:
    from sidestream.config.load import Loaded

GOOD: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2

DEBUG: Final = "--debug"

#: What is wrong with the words on the command line. typer hands its base class to nobody else.
_USAGE_ERROR: Final = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="sidestream",
    help="A self-hosted voice-integration gateway: SIP calls in, live media streams out.",
    epilog="Exit codes: 0 good, 1 failed, 2 wrong use or configuration.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class Role(StrEnum):
    """Which processes `serve` runs."""

    ALL = "all"
    GATEWAY = "gateway"
    CONTROL = "control"


ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration, a YAML file.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, for scripts.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the verdicts.")]


def _seconds(words: str, least: int = 0) -> Any:  # noqa: ANN401 - as typer has it
    """Declare an option in seconds."""
    return typer.Option(min=least, metavar="SECONDS", help=words)


def _number(words: str) -> Any:  # noqa: ANN401 - as typer has it
    """Declare an option that counts from 1."""
    return typer.Option(min=1, metavar="NUMBER", help=words)


def _directory(words: str) -> Any:  # noqa: ANN401 - as typer has it
    """Declare an option that is a directory."""
    return typer.Option(metavar="DIR", help=words)


@app.callback()
def _sidestream(
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the trace of an unexpected error.")] = False,
) -> None:
    """A self-hosted voice-integration gateway: SIP calls in, live media streams out."""
    del debug  # taken from the command line before anything can fail


def _examples(*commands: str) -> str:
    """Return the examples of a command as the end of its help; the mark keeps their lines apart."""
    return "\b\nExamples:\n" + "\n".join(f"  sidestream {command}" for command in commands)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"sidestream: {message}", err=True)
    raise typer.Exit(code)


@app.command(
    epilog=_examples("serve --config sidestream.yaml", "serve -c /etc/sidestream.yaml --role gateway")
)
def serve(
    config: ConfigOption,
    role: Annotated[
        Role, typer.Option(help="`all` and `gateway` run the gateway; `control` is not available yet.")
    ] = Role.ALL,
) -> None:
    """Run a gateway until SIGTERM or Ctrl-C.

    Prints one line for each listening socket, then `ready`. SIGTERM drains: no new calls, and those there are
    may go on for `drain_timeout`; a second one ends at once.
    """
    if role is Role.CONTROL:
        _fail(
            "the control process is not available in this version. Run --role gateway, or leave --role out",
            WRONG_USE,
        )
    loaded = _load(config)
    from sidestream.gateway.service import run  # noqa: PLC0415 - only this command runs a gateway

    raise typer.Exit(run(loaded.configuration, loaded.warnings))


def _load(config: Path) -> Loaded:
    """Read a configuration; says what is wrong, a line for each, and ends with 2 when it can't be used."""
    from sidestream.config.load import examine  # noqa: PLC0415 - quick start
    from sidestream.config.problems import ConfigError  # noqa: PLC0415 - quick start

    try:
        return examine(config)
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        count = len(error.problems)
        _fail(f"{config} has {count} problem{'s' if count > 1 else ''}; correct the file", WRONG_USE)


@app.command(epilog=_examples("check --config sidestream.yaml", "check -c sidestream.yaml --json"))
def check(config: ConfigOption, as_json: JsonOption = False) -> None:
    """Validate a configuration: every error with its place, and what would be right.

    Exits 2 when it is invalid; prints what it would set up when it is valid. What is probably not meant is a
    warning.
    """
    if as_json:
        _check_json(config)
        return
    loaded = _load(config)
    from sidestream.config.summary import summary_lines  # noqa: PLC0415 - quick start

    for warning in loaded.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{config} is valid.")
    for line in summary_lines(loaded.configuration):
        typer.echo(line)


def _check_json(config: Path) -> None:
    from dataclasses import asdict  # noqa: PLC0415 - quick start

    from sidestream.config.load import examine  # noqa: PLC0415 - quick start
    from sidestream.config.problems import ConfigError  # noqa: PLC0415 - quick start
    from sidestream.config.summary import summarize  # noqa: PLC0415 - quick start

    try:
        loaded = examine(config)
    except ConfigError as error:
        problems = [asdict(problem) for problem in error.problems]
        _print_json({"file": str(config), "valid": False, "problems": problems, "warnings": []})
        raise typer.Exit(WRONG_USE) from error
    _print_json(
        {
            "file": str(config),
            "valid": True,
            "problems": [],
            "warnings": [asdict(warning) for warning in loaded.warnings],
            "summary": summarize(loaded.configuration),
        }
    )


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


@app.command(epilog=_examples("version", "version --json"))
def version(as_json: JsonOption = False) -> None:
    """Say which version this is, of the product and of its media engine."""
    import platform  # noqa: PLC0415 - quick start

    from sidestream import __version__, _media  # noqa: PLC0415 - only here

    facts = {
        "version": __version__,
        "engine": _media.__version__,
        "build": {
            "python": platform.python_version(),
            "system": platform.system().lower(),
            "machine": platform.machine(),
        },
    }
    if as_json:
        _print_json(facts)
        return
    typer.echo(f"sidestream {__version__}")
    typer.echo(f"engine {_media.__version__}")
    typer.echo(f"python {platform.python_version()} on {platform.system().lower()} {platform.machine()}")


@app.command(epilog=_examples("listen", "listen --port 9443 --out recordings --ack"))
def listen(  # noqa: PLR0913 - one parameter for each option
    *,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0: any free one.")
    ] = 8443,
    out: Annotated[Path, _directory("Where recordings and certificates go.")] = Path("listen-output"),
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SIDESTREAM_LISTEN_TOKEN", metavar="TOKEN", help="Bearer token that connections must have."
        ),
    ] = None,
    ack: Annotated[bool, typer.Option("--ack", help="Acknowledge what is stored.")] = False,
    name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name in the certificate.")
    ] = None,
    tls: Annotated[Path | None, _directory("Where the certificates are; tls in --out without it.")] = None,
    streams: Annotated[int | None, _number("End after so many streams.")] = None,
    no_media: Annotated[
        bool, typer.Option("--no-media", help="Leave payloads out of the transcript.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Receive media streams, for development: TLS, a WAV file for each call, every total verified.

    Exits 0 when every stream was proven to be whole. Without --tls it makes a certificate authority of its
    own, which an integration names under `ca`.
    """
    from sidestream.tools.listen import ListenOptions, listen_command  # noqa: PLC0415 - only this command

    options = ListenOptions(
        out=out,
        host=host,
        port=port,
        token=token,
        ack=ack,
        quiet=quiet,
        json=as_json,
        no_media=no_media,
        streams=streams,
        names=tuple(name or ()),
        tls=tls,
    )
    raise typer.Exit(listen_command(options))


@app.command(
    epilog=_examples(
        "record",
        "record --listen tcp://127.0.0.1:5070 --out recordings --lenient",
        "record --listen tls://127.0.0.1:5071 --tls certificates",
        "record --inactive-first 2 --snapshot-after 5 --json",
        "record --reject 503 --quiet",
    )
)
def record(  # noqa: PLR0913 - one parameter for each option
    *,
    listen_on: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="ADDRESS",
            help="udp://, tcp:// or tls:// address, may be repeated; port 0: any. "
            "[default: udp and tcp at 127.0.0.1:5070]",
        ),
    ] = None,
    out: Annotated[Path, _directory("Where sessions are kept.")] = Path("record-output"),
    strict: Annotated[
        bool, typer.Option("--strict/--lenient", help="Refuse what breaks a rule, or record and note it.")
    ] = True,
    codec: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Codec to take, PCMU or PCMA, may be repeated; both without it."),
    ] = None,
    sessions: Annotated[int | None, _number("End after so many sessions.")] = None,
    reject: Annotated[
        int | None, typer.Option(min=300, max=699, metavar="STATUS", help="Refuse every session with this.")
    ] = None,
    answer_delay: Annotated[float, _seconds("Let an INVITE wait for its answer.")] = 0.0,
    inactive_first: Annotated[
        float | None, _seconds("Answer inactive, and ask for media by re-INVITE so much later.")
    ] = None,
    refuse_stream: Annotated[
        list[int] | None, _number("Refuse this m-line with port 0; may be repeated.")
    ] = None,
    multipart_answer: Annotated[
        bool, typer.Option("--multipart-answer", help="Answer in multipart/mixed.")
    ] = False,
    no_labels: Annotated[bool, typer.Option("--no-labels", help="Leave a=label out of answers.")] = False,
    snapshot_after: Annotated[
        float | None, _seconds("Ask for a metadata snapshot by UPDATE, from the ACK.")
    ] = None,
    bye_after: Annotated[float | None, _seconds("End each session, from the ACK.")] = None,
    refuse_update: Annotated[
        bool, typer.Option("--refuse-update", help="Answer every UPDATE with 488.")
    ] = False,
    session_expires: Annotated[int | None, _seconds("Session timer that the recorder refreshes.", 90)] = None,
    tls: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the certificate of tls:// is, made when missing; tls in --out."
        ),
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Authorities that clients by TLS must have a certificate of."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Record SIPREC sessions, for development: judged strictly, WAV files, the history of the metadata.

    Exits 0 when every session kept the rules and is whole. The options from --reject to --session-expires
    make it a difficult recorder, for trying a client.
    """
    from sidestream.tools.record import RecordOptions, record_command  # noqa: PLC0415 - only this command
    from sidestream.tools.recorder_options import Behaviour  # noqa: PLC0415 - only this command

    options = RecordOptions(
        out=out,
        listen=tuple(listen_on or ()),
        strict=strict,
        codecs=tuple(codec or ()),
        behaviour=Behaviour(
            reject=reject,
            answer_delay_s=answer_delay,
            inactive_for_s=inactive_first,
            refuse_streams=tuple(refuse_stream or ()),
            multipart_answer=multipart_answer,
            no_labels=no_labels,
            snapshot_after_s=snapshot_after,
            bye_after_s=bye_after,
            refuse_update=refuse_update,
            session_expires_s=session_expires,
        ),
        quiet=quiet,
        json=as_json,
        sessions=sessions,
        tls=tls,
        client_ca=client_ca,
    )
    raise typer.Exit(record_command(options))


@app.command(
    epilog=_examples(
        "call --to sip:+14155550199@127.0.0.1:5060 --play hello.wav --dtmf 12#",
        "call --answer --listen-on udp://127.0.0.1:5080 --record heard.wav",
        "call --to sip:busy@127.0.0.1:5060 --expect 486",
        "call --to sips:+14155550199@sip.example.com --ca ca.pem",
    )
)
def call(  # noqa: PLR0913 - one parameter for each option
    *,
    to: Annotated[str | None, typer.Option(metavar="URI", help="Whom to call.")] = None,
    answer: Annotated[bool, typer.Option("--answer", help="Wait for a call and answer it.")] = False,
    listen_on: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where the phone listens: udp://, tcp:// or tls://; port 0: any. "
            "[default: udp://127.0.0.1:0, or tls:// for a call over TLS]",
        ),
    ] = None,
    sender: Annotated[
        str, typer.Option("--from", metavar="NUMBER", help="User or number that it calls from.")
    ] = "phone",
    display_name: Annotated[str, typer.Option(metavar="NAME", help="Name that it calls with.")] = "",
    play: Annotated[
        Path | None, typer.Option(metavar="FILE", help="WAV file to play (8,000 Hz); silence without it.")
    ] = None,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="WAV file for what is heard.")] = None,
    codec: Annotated[str, typer.Option(metavar="NAME", help="PCMU or PCMA.")] = "PCMU",
    header: Annotated[
        list[str] | None, typer.Option(metavar="'NAME: VALUE'", help="A further header of the INVITE.")
    ] = None,
    dtmf: Annotated[str, typer.Option(metavar="KEYS", help="Keys to press.")] = "",
    dtmf_at: Annotated[float, _seconds("When to press them, from the answer.")] = 0.5,
    hold_at: Annotated[float | None, _seconds("When to put the far side on hold.")] = None,
    hold_for: Annotated[float, _seconds("For how long.")] = 2.0,
    duration: Annotated[float | None, _seconds("When to hang up; after the audio without it.")] = None,
    timeout: Annotated[float, _seconds("To wait for the answer, or for a call.")] = 60.0,
    expect: Annotated[
        int, typer.Option(min=200, max=699, metavar="STATUS", help="The final status that is wanted.")
    ] = 200,
    tls: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the phone's certificate is, made when missing; else for now."
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Authorities for the far side's certificate; the system's without it."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Verify the far side's certificate.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Make or take one scripted call, for trying a trunk.

    Exits 0 when the call went as asked: answered (or refused as expected) and all audio sent.
    """
    from sidestream.tools.call import CallOptions, call_command  # noqa: PLC0415 - only this command

    options = CallOptions(
        to=to,
        answer=answer,
        listen_on=listen_on,
        sender=sender,
        display_name=display_name,
        play=play,
        record=record,
        codec=codec,
        headers=tuple(header or ()),
        dtmf=dtmf,
        dtmf_at=dtmf_at,
        hold_at=hold_at,
        hold_for=hold_for,
        duration=duration,
        timeout=timeout,
        expect=expect,
        json=as_json,
        tls=tls,
        ca=ca,
        verify=verify,
    )
    raise typer.Exit(call_command(options))


ApiOption = Annotated[
    str, typer.Option("--api", envvar="SIDESTREAM_API", metavar="URL", help="Where the API is.")
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="SIDESTREAM_ADMIN_TOKEN",
        metavar="TOKEN",
        help="Token of the API; better in the environment than here.",
        show_envvar=True,
    ),
]
_API: Final = "http://127.0.0.1:8080"


class CallState(StrEnum):
    """Which calls are listed."""

    ACTIVE = "active"
    ENDED = "ended"


@app.command(epilog=_examples("calls --state active", "calls --party 4155550100 --limit 10 --json"))
def calls(
    *,
    state: Annotated[CallState | None, typer.Option(help="Only calls in this state.")] = None,
    party: Annotated[
        str, typer.Option(metavar="TEXT", help="Only calls whose caller or callee has this in number or URI.")
    ] = "",
    limit: Annotated[int, _number("Calls at most.")] = 50,
    api: ApiOption = _API,
    token: TokenOption = "",
    as_json: JsonOption = False,
) -> None:
    """List live and past calls, the newest first."""
    from sidestream.tools.api_client import ApiClient  # noqa: PLC0415 - quick start
    from sidestream.tools.calls import CallsOptions, calls_command  # noqa: PLC0415 - quick start

    options = CallsOptions(state=state.value if state else None, party=party, limit=limit, json=as_json)
    raise typer.Exit(calls_command(ApiClient(api, token), options))


CallArgument = Annotated[str, typer.Argument(metavar="ID", help="The call's id, as in logs and journal.")]


@app.command("call-show", epilog=_examples("call-show 019aa000-0000-7000-8000-000000000001"))
def call_show(
    call_id: CallArgument, *, api: ApiOption = _API, token: TokenOption = "", as_json: JsonOption = False
) -> None:
    """Show one call, live or past: legs, quality, streams, recordings, ending."""
    from sidestream.tools.api_client import ApiClient  # noqa: PLC0415 - quick start
    from sidestream.tools.calls import show_command  # noqa: PLC0415 - quick start

    raise typer.Exit(show_command(ApiClient(api, token), call_id, as_json=as_json))


@app.command(
    epilog=_examples(
        "trace 019aa000-0000-7000-8000-000000000001",
        "trace 019aa000-0000-7000-8000-000000000001 --pcap call.pcap",
    )
)
def trace(
    call_id: CallArgument,
    *,
    pcap: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a capture for Wireshark instead.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Print each message in full.")] = False,
    api: ApiOption = _API,
    token: TokenOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print the SIP ladder of a call: every message of both legs and of its recordings, and what happened."""
    from sidestream.tools.api_client import ApiClient  # noqa: PLC0415 - quick start
    from sidestream.tools.calls import TraceOptions, trace_command  # noqa: PLC0415 - quick start

    options = TraceOptions(call_id=call_id, pcap=pcap, full=full, json=as_json)
    raise typer.Exit(trace_command(ApiClient(api, token), options))


@app.command(epilog=_examples("demo", "demo --out demo-output --json"))
def demo(
    *,
    out: Annotated[Path, _directory("Where everything is left.")] = Path("demo-output"),
    attempts: Annotated[int, _number("Calls at most, when the machine itself stands still.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Carry a real call with speech through a gateway on this machine, and prove what arrived.

    Two phones, a carrier and a contact-centre trunk, a TLS endpoint and a SIPREC recorder, all on loopback.
    Leaves WAV files, the transcript, the recording metadata and report.html. Exits 0 only when the audio that
    arrived is the audio that was sent, and the recording and its metadata keep every rule.
    """
    from sidestream.tools.demo import DemoOptions, demo_command  # noqa: PLC0415 - only this command

    raise typer.Exit(demo_command(DemoOptions(out=out, json=as_json, attempts=attempts)))


def main() -> NoReturn:
    """Run the command and leave the process with its exit code."""
    words = sys.argv[1:]
    debug = DEBUG in words
    # Wanted wherever it stands; the frame knows it before the name of the command only.
    words = [word for word in words if word != DEBUG]
    if not words:
        typer.echo("sidestream: name a command. See 'sidestream --help'", err=True)
        sys.exit(WRONG_USE)
    try:
        code = app(args=words, prog_name="sidestream", standalone_mode=False)
    except KeyboardInterrupt:
        code = _told("interrupted", FAILED)
    except BrokenPipeError:
        # The reader of our output went away; flushing it at the exit would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    except Exception as error:
        if debug:
            raise
        code = _told(*_explained(error))
    sys.exit(code if isinstance(code, int) else GOOD)


def _told(message: str, code: int) -> int:
    typer.echo(f"sidestream: {message}", err=True)
    return code


def _explained(error: Exception) -> tuple[str, int]:
    """Return what to say about an error, and the exit code."""
    from sidestream.errors import Fault, SidestreamError  # noqa: PLC0415 - only when something is wrong

    if isinstance(error, _USAGE_ERROR):
        return _usage(error), WRONG_USE
    if isinstance(error, SidestreamError):
        code = WRONG_USE if error.fault is Fault.OPERATOR else FAILED
        return _sentence(str(error), error.hint), code
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{place}", FAILED
    text = str(error).partition("\n")[0]
    return f"unexpected {type(error).__name__}: {text}. Run it with {DEBUG} to see where", FAILED


def _sentence(message: str, hint: str) -> str:
    return f"{message}. {hint}" if hint else message


def _usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or "sidestream"
    message = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
    message = message.replace("Value error, ", "")
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See '{command} --help'"
