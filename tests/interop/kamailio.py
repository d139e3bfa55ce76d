"""Kamailio as a provider: a registrar and a proxy that ask for credentials."""

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

needs_kamailio = pytest.mark.skipif(shutil.which("kamailio") is None, reason="Kamailio is not installed")

CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
fork=no
children=1
disable_tcp=yes
auto_aliases=no
alias="provider.test"
listen=udp:{host}:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "xlog.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "textops.so"
loadmodule "siputils.so"
modparam("auth", "nonce_expire", {nonce_life})
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "qop", "auth")
modparam("auth", "nonce_count", 1)
modparam("auth", "one_time_nonce", 0)
modparam("registrar", "min_expires", 90)
modparam("registrar", "max_expires", 3600)
request_route {{
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("provider.test", "secret", "0")) {{
            auth_challenge("provider.test", "1");
            exit;
        }}
        xlog("L_WARN", "REGISTERED $au $(ct{{s.len}}) $hdr(Expires) $rU $fU\\n");
        save("location");
        exit;
    }}
    if (has_totag()) {{
        loose_route();
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{
        t_relay();
        exit;
    }}
    if (is_method("INVITE")) {{
        if (!pv_proxy_authenticate("provider.test", "secret", "0")) {{
            auth_challenge("provider.test", "1");
            exit;
        }}
        xlog("L_WARN", "INVITED $au\\n");
        consume_credentials();
        record_route();
        $du = "sip:{callee}";
        t_relay();
        exit;
    }}
    sl_send_reply("404", "Not Found");
}}
"""


@dataclass
class Kamailio:
    """A running Kamailio."""

    process: subprocess.Popen[bytes]
    output: Path

    def log(self) -> str:
        """Return what it has written."""
        return self.output.read_text(errors="replace")

    def wait_for(self, pattern: str, times: int = 1, seconds: float = 10.0) -> None:
        """Wait until its log has a pattern so often."""
        deadline = time.monotonic() + seconds
        while len(re.findall(pattern, self.log())) < times:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, f"{pattern!r} is not in\n{self.log()[-4000:]}"
            time.sleep(0.05)


@contextlib.contextmanager
def kamailio(
    directory: Path,
    at: tuple[str, int],
    callee: tuple[str, int],
    *,
    algorithm: str = "MD5",
    nonce_life: int = 300,
) -> Iterator[Kamailio]:
    """Run it; INVITEs that it lets through go to the callee."""
    config, output = directory / "kamailio.cfg", directory / "kamailio.log"
    config.write_text(
        CONFIG.format(
            host=at[0],
            port=at[1],
            callee=f"{callee[0]}:{callee[1]}",
            algorithm=algorithm,
            nonce_life=nonce_life,
        )
    )
    with output.open("wb") as sink:
        command = [
            "kamailio",
            "-f",
            str(config),
            "-DD",
            "-E",
            "-m",
            "16",
            "-Y",
            str(directory),
            "-w",
            str(directory),
        ]
        process = subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True, cwd=directory)
        running = Kamailio(process, output)
        try:
            deadline = time.monotonic() + 10
            packed = int.from_bytes(bytes(map(int, at[0].split("."))), "little")
            local = f" {packed:08X}:{at[1]:04X} "
            while local not in Path("/proc/net/udp").read_text():
                assert process.poll() is None, running.log()
                assert time.monotonic() < deadline, running.log()
                time.sleep(0.05)
            yield running
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait(5)
